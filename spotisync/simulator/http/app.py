"""One request's way through the simulator: log, latency, faults, answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from spotisync.simulator.http import routes
from spotisync.simulator.http.accounts import Accounts
from spotisync.simulator.http.api import Api
from spotisync.simulator.http.control_api import Steering
from spotisync.simulator.http.faults import Fault, Faults
from spotisync.simulator.http.journal import Entry, Hold, Journal
from spotisync.simulator.http.logins import Logins
from spotisync.simulator.http.request import Refusal, Reply, error
from spotisync.simulator.http.responses import cut_off, half, response
from spotisync.simulator.settings import Settings
from spotisync.simulator.world.world import World

Answer = Callable[[], Awaitable[Reply]]
_log = logging.getLogger(__name__)


class App:
    """The whole of Spotify for one world. `handle` is what aiohttp calls."""

    def __init__(self, world: World, settings: Settings, log: Path | None = None) -> None:
        self.world, self.settings = world, settings
        self.logins, self.faults = Logins(world, settings), Faults()
        self.journal, self.hold = Journal(log), Hold()
        self.api = Api(world, settings, self.logins)
        self.url = ""
        self._accounts, self._steering = Accounts(world, settings, self.logins), Steering(self)
        self._jitter = Random(world.seed)

    def listens_at(self, url: str) -> None:
        self.url, self.api.url = url, f"{url}/v1"

    def info(self) -> dict[str, Any]:
        """Say where everything is, and give each account's id and a refresh token that is good."""
        accounts = [{"id": each, "refresh_token": self.logins.refresh_token(each)} for each in self.world.accounts]
        return {"url": self.url, "api_url": self.api.url, "accounts_url": self.url, "accounts": accounts}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/_sim/"):
            return response(await self._steering.answer(request))
        path = request.path.rstrip("/")
        found = routes.find(path)
        entry = self._entry(request, found)
        self.journal.begin(entry)
        try:
            await self._latency()
            return await self._handle(request, entry, lambda: self._answer(request, path, found))
        finally:
            self.journal.end(entry)

    def _entry(self, request: web.BaseRequest, found: routes.Found | None) -> Entry:
        access = self.api.access(request)
        return Entry(
            time=self.world.now(),
            method=request.method,
            path=request.path,
            query=request.query_string,
            account=access.grant.account if access else None,
            family=found[0].family if found else "other" if request.path.startswith("/v1") else "accounts",
        )

    async def _latency(self) -> None:
        if self.settings.latency_ms:
            await asyncio.sleep(self.settings.latency_ms / 1000 * self._jitter.uniform(0.5, 1.5))

    async def _handle(self, request: web.BaseRequest, entry: Entry, answer: Answer) -> web.StreamResponse:
        fault = self.faults.strike(entry.method, f"{entry.path}?{entry.query}", entry.family, entry.account)
        if fault is None:
            reply = await answer()
        else:
            entry.fault = f"{fault.id}:{fault.kind}"
            if fault.kind in ("reset", "hang"):
                return await self._no_reply(request, fault)
            reply = await self._struck(entry, fault, answer)
        entry.status = reply.status
        return await half(request, reply) if fault is not None and fault.kind == "cut" else response(reply)

    async def _no_reply(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
        if fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
        return cut_off(request)

    async def _struck(self, entry: Entry, fault: Fault, answer: Answer) -> Reply:
        match fault.kind:
            case "cut":
                return await answer()
            case "delay":
                await asyncio.sleep(fault.seconds)
                return await answer()
            case "hold":
                return await self._held(entry, fault, answer)
        return fault.reply(self.world.now())

    async def _held(self, entry: Entry, fault: Fault, answer: Answer) -> Reply:
        early = await answer() if fault.when == "reply" else None
        await self.hold.wait(entry, fault.id, fault.seconds)
        return early or await answer()

    async def _answer(self, request: web.BaseRequest, path: str, found: routes.Found | None) -> Reply:
        try:
            if path.startswith("/v1"):
                return self.api.answer(request, path, found)
            return await self._accounts.answer(request)
        except Refusal as refusal:
            return refusal.reply
        except Exception:  # noqa: BLE001 (a bug of ours shows as a 500 in the log, not as a hung client)
            _log.exception("%s %s", request.method, request.path)
            return error(500, "The simulator has a bug: see its log")
