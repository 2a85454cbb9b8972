"""So many requests at a time.

Each may hold two connections of the pool, and while it waits for the second one it holds the first.
"""

import asyncio
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

AT_A_TIME: Final = 8
"""Fewer than there are connections, so that whoever waits for one gets it."""

FREE: Final = {"/api/sync/events", "/healthz", "/readyz", "/metrics", "/login"}


def install(app: FastAPI) -> None:
    app.add_middleware(ConcurrencyLimit)


class ConcurrencyLimit:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._free = asyncio.Semaphore(AT_A_TIME)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _asks_for_no_turn(scope["path"]):
            await self._app(scope, receive, send)
            return
        async with self._free:
            await self._app(scope, receive, send)


def _asks_for_no_turn(path: str) -> bool:
    """What streams stays for long, who is slow to send a login is a stranger, and a probe is to answer whatever hangs.

    The probes' questions wait for a connection of their own, each for one, and no request waits for them for long.
    """
    return path.startswith(("/static/", "/events/")) or path in FREE
