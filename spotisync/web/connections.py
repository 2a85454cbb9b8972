"""Limits on connections that uvicorn does not have: their number, and the time in which a request has to arrive.

Without them, clients that open connections and send nothing take up all file descriptors.
"""

import asyncio
import logging
import math
import sys
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if sys.platform != "win32":
    import resource

log = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 15
"""Time for a whole request. The body has a deadline of its own, which is answered."""
MAX_CONNECTIONS: Final = 1000
BACKLOG: Final = 32
"""Connections that asyncio accepts at once, before `connection_made` can close one."""
RESERVED_FILES: Final = 5 * BACKLOG
"""File descriptors of connections that are not counted yet, of the database pool and of files."""
WARNING_INTERVAL: Final = 60


class WebConnection(H11Protocol):
    """Above the limit, the oldest connection without a complete request is closed, so new clients are still served."""

    _warned_at: ClassVar[float] = -math.inf
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.opened_at = self.loop.time()
        self._update_deadline()
        others = [each for each in self.connections if not each.transport.is_closing()]
        if len(others) > get_connection_limit():
            self._close_oldest(others)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_deadline()

    def is_incomplete(self) -> bool:
        """Whether no request, or only a part of one, has arrived."""
        return self.conn.their_state in {h11.IDLE, h11.SEND_BODY}

    def _update_deadline(self) -> None:
        if not self.is_incomplete():
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _close_oldest(self, connections: list[Any]) -> None:
        incomplete = [each for each in connections if each.is_incomplete()]
        min(incomplete, key=lambda each: each.opened_at, default=self).transport.abort()
        if self.loop.time() - WebConnection._warned_at > WARNING_INTERVAL:
            WebConnection._warned_at = self.loop.time()
            log.warning(
                "More than %d connections: the oldest ones that have sent no complete request are closed. "
                "The limit of open files (ulimit -n) determines this number.",
                get_connection_limit(),
            )


def get_connection_limit() -> int:
    """The limit of open files minus those for other purposes, but at least 16."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(MAX_CONNECTIONS, files - RESERVED_FILES)) if files != resource.RLIM_INFINITY else MAX_CONNECTIONS
