"""Limits on wrong API tokens, in the memory of this process: a restart clears them."""

import math
import time
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

WINDOW_SECONDS: Final = 300
MAX_PER_CLIENT: Final = 10
"""Wrong tokens of one client per window; after that even the right one is refused."""
MAX_TOTAL: Final = 100
"""Wrong tokens of all clients. Blocks only logins on the page, so that one client can't lock out other services."""
MAX_CLIENTS: Final = 1000
"""Clients that are remembered, because MemoryStorage never deletes a key: with more, the first one is forgotten."""
_PER_CLIENT: Final = RateLimitItemPerSecond(MAX_PER_CLIENT, WINDOW_SECONDS)
_TOTAL: Final = RateLimitItemPerSecond(MAX_TOTAL, WINDOW_SECONDS)


class LoginAttempts:
    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._clients = MovingWindowRateLimiter(self._storage)
        self._all = MovingWindowRateLimiter(MemoryStorage())

    def get_seconds_blocked(self, client: str, *, on_page: bool = False) -> int:
        """Return for how many seconds this client is refused; 0 if it is not."""
        own = _get_seconds(self._clients, _PER_CLIENT, client)
        return max(own, _get_seconds(self._all, _TOTAL)) if on_page else own

    def record_failure(self, client: str) -> None:
        self._clients.hit(_PER_CLIENT, client)
        self._all.hit(_TOTAL)
        if len(self._storage.events) > MAX_CLIENTS:
            first = next(iter(self._storage.events.copy()))
            with self._storage.locks[first]:
                self._storage.clear(first)


def _get_seconds(limiter: MovingWindowRateLimiter, limit: RateLimitItemPerSecond, *key: str) -> int:
    if limiter.test(limit, *key):
        return 0
    return max(1, math.ceil(limiter.get_window_stats(limit, *key).reset_time - time.time()))
