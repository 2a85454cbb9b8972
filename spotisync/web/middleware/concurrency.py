"""A limit on concurrent requests.

A request may hold two connections of the pool, and holds the first while it waits for the second.
"""

import asyncio
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from spotisync.web.paths import get_path

MAX_CONCURRENT: Final = 8
"""Less than the size of the connection pool, so that a request that waits for its second connection gets it."""

UNLIMITED_PATHS: Final = {"/api/sync/events", "/healthz", "/readyz", "/metrics"}


def install(app: FastAPI) -> None:
    app.add_middleware(ConcurrencyLimit)


class ConcurrencyLimit:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_unlimited(get_path(scope)):
            await self._app(scope, receive, send)
            return
        async with self._slots:
            await self._app(scope, receive, send)


def _is_unlimited(path: str) -> bool:
    """Streams last long, and health checks must always answer.

    A health check holds one connection at most, and only briefly.
    """
    return path.startswith(("/static/", "/events/")) or path in UNLIMITED_PATHS
