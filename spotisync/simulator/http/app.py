"""Handle a request: log it, wait for the latency, apply faults, send the reply."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from spotisync.simulator.http import routes
from spotisync.simulator.http.accounts import AccountsApi, find_caller
from spotisync.simulator.http.api import Api
from spotisync.simulator.http.faults import Fault, Faults
from spotisync.simulator.http.logins import Logins
from spotisync.simulator.http.request import Refusal, Reply, error
from spotisync.simulator.http.request_log import HeldRequests, LoggedRequest, RequestLog
from spotisync.simulator.settings import SimulatorSettings
from spotisync.simulator.world.world import World

Answer = Callable[[], Awaitable[Reply]]
_log = logging.getLogger(__name__)


class SimulatorApp:
    """Spotify for one world: the Web API and the accounts service, with faults."""

    def __init__(self, world: World, settings: SimulatorSettings, log: Path | None = None) -> None:
        self.world, self.settings = world, settings
        self.logins, self.faults = Logins(world, settings), Faults()
        self.request_log, self.held_requests = RequestLog(log), HeldRequests()
        self.api = Api(world, settings, self.logins)
        self.url = ""
        self._accounts = AccountsApi(world, settings, self.logins)
        self._jitter = Random(world.seed)

    def set_url(self, url: str) -> None:
        self.url, self.api.url = url, f"{url}/v1"

    def info(self) -> dict[str, Any]:
        """Return the URLs, and each account's id and a valid refresh token."""
        accounts = [{"id": each, "refresh_token": self.logins.refresh_token(each)} for each in self.world.accounts]
        return {"url": self.url, "api_url": self.api.url, "accounts_url": self.url, "accounts": accounts}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/")
        match = routes.find(path)
        entry = await self._entry(request, match)
        self.request_log.begin(entry)
        try:
            await self._latency()
            return await self._respond(request, entry, lambda: self._answer(request, entry, path, match))
        finally:
            self.request_log.end(entry)

    async def _entry(self, request: web.BaseRequest, match: routes.RouteMatch | None) -> LoggedRequest:
        access, is_api = self.api.access(request), request.path.startswith("/v1")
        return LoggedRequest(
            time=self.world.now(),
            method=request.method,
            path=request.path,
            query=request.query_string,
            account=access.grant.account if access else None,
            family=match[0].family if match else "other" if is_api else "accounts",
            client_id=(access.client_id if access else None) if is_api else await find_caller(request),
        )

    async def _latency(self) -> None:
        if self.settings.latency_ms:
            await asyncio.sleep(self.settings.latency_ms / 1000 * self._jitter.uniform(0.5, 1.5))

    async def _respond(self, request: web.BaseRequest, entry: LoggedRequest, answer: Answer) -> web.StreamResponse:
        fault = self.faults.trigger(entry.method, entry.target, entry.family, entry.account, entry.client_id)
        if fault is None:
            reply = await answer()
        else:
            entry.add_fault(fault.label)
            if fault.kind in ("reset", "hang"):
                return await self._no_reply(request, fault)
            reply = await self._faulty_reply(entry, fault, answer)
        entry.status, entry.limit = reply.status, reply.limit
        return await send_half(request, reply) if fault is not None and fault.kind == "cut" else response(reply)

    async def _no_reply(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
        if fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
        return reset_connection(request)

    async def _faulty_reply(self, entry: LoggedRequest, fault: Fault, answer: Answer) -> Reply:
        match fault.kind:
            case "cut":
                return await answer()
            case "delay":
                await asyncio.sleep(fault.seconds)
                return await answer()
            case "hold":
                return await self._hold(entry, fault, answer)
        return fault.reply(self.world.now())

    async def _hold(self, entry: LoggedRequest, fault: Fault, answer: Answer) -> Reply:
        early = await answer() if fault.when == "reply" else None
        await self.held_requests.wait(entry, fault.id, fault.seconds)
        return early or await answer()

    async def _answer(
        self, request: web.BaseRequest, entry: LoggedRequest, path: str, match: routes.RouteMatch | None
    ) -> Reply:
        try:
            if path.startswith("/v1"):
                return self.api.answer(request, path, match, self._lies(entry))
            return await self._accounts.answer(request)
        except Refusal as refusal:
            return refusal.reply
        except Exception:  # noqa: BLE001 (a bug must become a logged 500, not a missing reply)
            _log.exception("%s %s", request.method, request.path)
            return error(500, "Bug in the simulator: see its log")

    def _lies(self, entry: LoggedRequest) -> list[Fault]:
        if entry.method != "GET":
            return []
        told = self.faults.trigger_lies(entry.target, entry.family, entry.account, entry.client_id)
        for lie in told:
            entry.add_fault(lie.label)
        return told


def response(reply: Reply) -> web.Response:
    headers = {"cache-control": "private, max-age=0", **reply.headers}
    if reply.status == 204:
        return web.Response(status=204, headers=headers)
    headers["content-type"] = f"{reply.content_type}; charset=utf-8"
    return web.Response(body=reply.body.encode(), status=reply.status, headers=headers)


def reset_connection(request: web.BaseRequest) -> web.Response:
    """Reset the connection. Nothing can be sent after that, but aiohttp expects a response."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with RST, not FIN
        request.transport.abort()
    return web.Response()


async def send_half(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Announce the complete body, send half of it and close the connection."""
    body = reply.body.encode()
    partial = web.StreamResponse(status=reply.status, headers={"content-type": "application/json; charset=utf-8"})
    partial.content_length = len(body)
    await partial.prepare(request)
    await partial.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return partial
