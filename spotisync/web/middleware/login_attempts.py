"""A limit on wrong API tokens, in the memory of this process: a restart clears it.

The right token always passes, so that wrong ones of the same address can't lock it out. Its length prevents guessing.
"""

import math
import time
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

WINDOW_SECONDS: Final = 300
MAX_PER_CLIENT: Final = 10
"""Wrong tokens of one client per window; after that it is asked to wait."""
MAX_CLIENTS: Final = 1000
"""Clients that are remembered, because MemoryStorage never deletes a key: with more, the first one is forgotten."""
_PER_CLIENT: Final = RateLimitItemPerSecond(MAX_PER_CLIENT, WINDOW_SECONDS)


class LoginAttempts:
    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)

    def record_failure(self, client: str) -> int:
        """Return for how many seconds this client has to wait; 0 below the limit."""
        if self._limiter.hit(_PER_CLIENT, client):
            self._forget_first()
            return 0
        return max(1, math.ceil(self._limiter.get_window_stats(_PER_CLIENT, client).reset_time - time.time()))

    def _forget_first(self) -> None:
        if len(self._storage.events) > MAX_CLIENTS:
            first = next(iter(self._storage.events.copy()))
            with self._storage.locks[first]:
                self._storage.clear(first)
