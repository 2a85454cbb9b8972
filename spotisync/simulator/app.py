"""One request's way through the simulator: log, latency, faults, limits, token, regime, answer."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from spotisync.simulator import routes
from spotisync.simulator.accounts import Accounts
from spotisync.simulator.ask import Ask, Refusal, Reply, error, refused
from spotisync.simulator.faults import Fault, Faults
from spotisync.simulator.journal import Entry, Hold, Journal
from spotisync.simulator.limits import Limits
from spotisync.simulator.logins import Access, Logins
from spotisync.simulator.settings import Settings
from spotisync.simulator.shapes import Shapes
from spotisync.simulator.steering import Steering
from spotisync.simulator.world import World

_log = logging.getLogger(__name__)


class App:
    """The whole of Spotify for one world. `handle` is what aiohttp calls."""

    def __init__(self, world: World, settings: Settings, log: Path | None = None) -> None:
        self.world, self.settings = world, settings
        self.logins = Logins(world, settings)
        self.faults, self.limits = Faults(), Limits(settings)
        self.journal, self.hold = Journal(log), Hold()
        self.url = ""
        self._accounts, self._steering = Accounts(world, settings, self.logins), Steering(self)
        self._jitter = Random(world.seed)
        self._shapes = lru_cache(2)(self._make_shapes)

    def info(self) -> dict[str, Any]:
        """Say where everything is, and give each account's id and a refresh token that is good."""
        accounts = [{"id": each, "refresh_token": self.logins.refresh_token(each)} for each in self.world.accounts]
        return {"url": self.url, "api_url": f"{self.url}/v1", "accounts_url": self.url, "accounts": accounts}

    def _make_shapes(self, regime: str) -> Shapes:
        return Shapes(self.world.catalogue, f"{self.url}/v1", restricted=regime == "restricted")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/_sim/"):
            return _response(await self._steering.answer(request))
        path = request.path.rstrip("/")
        found = routes.find(path)
        access = self.logins.access(request.headers.get("Authorization", "").removeprefix("Bearer "))
        entry = Entry(
            time=self.world.now(),
            method=request.method,
            path=request.path,
            query=request.query_string,
            account=access.grant.account if access else None,
            family=found[0].family if found else "other" if path.startswith("/v1") else "accounts",
        )
        self.journal.begin(entry)
        try:
            return await self._handle(request, entry, lambda: self._answer(request, entry, path, found, access))
        finally:
            self.journal.end(entry)

    async def _handle(
        self, request: web.BaseRequest, entry: Entry, answer: Callable[[], Awaitable[Reply]]
    ) -> web.StreamResponse:
        if self.settings.latency_ms:
            await asyncio.sleep(self.settings.latency_ms / 1000 * self._jitter.uniform(0.5, 1.5))
        fault = self.faults.strike(entry.method, f"{entry.path}?{entry.query}", entry.family, entry.account)
        if fault is None:
            reply = await answer()
            entry.status = reply.status
            return _response(reply)
        entry.fault = f"{fault.id}:{fault.kind}"
        return await self._struck(request, entry, fault, answer)

    async def _struck(
        self, request: web.BaseRequest, entry: Entry, fault: Fault, answer: Callable[[], Awaitable[Reply]]
    ) -> web.StreamResponse:
        match fault.kind:
            case "reset":
                return _cut_off(request)
            case "hang":
                await asyncio.sleep(fault.seconds)
                return _cut_off(request)
            case "delay":
                await asyncio.sleep(fault.seconds)
                reply = await answer()
            case "hold":
                reply = await self._held(entry, fault, answer)
            case "cut":
                reply = await answer()
                entry.status = reply.status
                return await _half(request, reply)
            case _:
                reply = fault.reply(self.world.now())
        entry.status = reply.status
        return _response(reply)

    async def _held(self, entry: Entry, fault: Fault, answer: Callable[[], Awaitable[Reply]]) -> Reply:
        if fault.when == "reply":
            reply = await answer()
            await self.hold.wait(entry, fault.id, fault.seconds)
            return reply
        await self.hold.wait(entry, fault.id, fault.seconds)
        return await answer()

    async def _answer(
        self,
        request: web.BaseRequest,
        entry: Entry,
        path: str,
        found: tuple[routes.Route, tuple[str, ...]] | None,
        access: Access | None,
    ) -> Reply:
        """Answer without faults. Everything after reading the body happens in one go, so no edit comes between."""
        try:
            if entry.family == "accounts":
                return await self._accounts.answer(request)
            with self.world.lock:
                return self._api(request, path, found, access)
        except Refusal as refusal:
            return refusal.reply
        except Exception:  # noqa: BLE001 (a bug of ours shows as a 500 in the log, not as a hung client)
            _log.exception("%s %s", request.method, request.path)
            return error(500, "The simulator has a bug: see its log")

    def _api(
        self,
        request: web.BaseRequest,
        path: str,
        found: tuple[routes.Route, tuple[str, ...]] | None,
        access: Access | None,
    ) -> Reply:
        route, args = found or (None, ())
        if limited := self.limits.refusal(route.family if route else "other", self.world.now()):
            return limited
        account = self._account(request, route, access)
        restricted = self.settings.regime == "restricted"
        if route is None:
            raise refused(404, "Service not found")
        if request.method != "GET":
            raise refused(405, "Method not allowed")
        if restricted and route.full_only:
            raise refused(403, "Forbidden")
        shapes = self._shapes(self.settings.regime)
        return route.answer(
            Ask(self.world, shapes, self.world.accounts[account], f"{self.url}/v1", path, request.query, args)
        )

    def _account(self, request: web.BaseRequest, route: routes.Route | None, access: Access | None) -> str:
        if "Authorization" not in request.headers:
            raise _unauthorized("No token provided")
        if access is None:
            raise _unauthorized("Invalid access token")
        if access.until <= self.world.now():
            raise _unauthorized("The access token expired")
        scope = access.grant.scope
        if route and route.scope and scope is not None and route.scope not in scope.split():
            raise refused(403, "Insufficient client scope")
        return access.grant.account


def _unauthorized(message: str) -> Refusal:
    header = f'Bearer realm="spotify", error="invalid_token", error_description="{message}"'
    return Refusal(error(401, message, {"www-authenticate": header}))


def _response(reply: Reply) -> web.Response:
    headers = {"cache-control": "private, max-age=0", **reply.headers}
    if reply.status == 204:
        return web.Response(status=204, headers=headers)
    headers["content-type"] = f"{reply.content_type}; charset=utf-8"
    return web.Response(body=reply.body.encode(), status=reply.status, headers=headers)


def _cut_off(request: web.BaseRequest) -> web.Response:
    """Reset the connection. Nothing can be sent after that; aiohttp wants a response all the same."""
    if request.transport is not None:
        socket_ = request.transport.get_extra_info("socket")
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with RST, not FIN
        request.transport.abort()
    return web.Response()


async def _half(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Announce the whole body, send half of it and close."""
    body = reply.body.encode()
    response = web.StreamResponse(status=reply.status, headers={"content-type": "application/json; charset=utf-8"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
