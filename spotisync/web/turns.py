"""So many requests at a time.

Each may hold two connections of the pool, and while it waits for the second one it holds the first.
"""

import asyncio
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

AT_A_TIME: Final = 8
"""Fewer than there are connections, so that whoever waits for one gets it."""


def take(app: FastAPI) -> None:
    app.add_middleware(Turns)


class Turns:
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
    """None of these reads a table; what streams stays for long, and who is slow to send a login is a stranger."""
    return path.startswith(("/static/", "/events/")) or path in {"/api/sync/events", "/healthz", "/login"}
