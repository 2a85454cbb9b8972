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
_PER_CLIENT: Final = RateLimitItemPerSecond(MAX_PER_CLIENT, WINDOW_SECONDS)
_TOTAL: Final = RateLimitItemPerSecond(MAX_TOTAL, WINDOW_SECONDS)


class LoginAttempts:
    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def get_seconds_blocked(self, client: str, *, on_page: bool = False) -> int:
        """Return for how many seconds this client is refused; 0 if it is not."""
        own = self._get_seconds(_PER_CLIENT, client)
        return max(own, self._get_seconds(_TOTAL)) if on_page else own

    def record_failure(self, client: str) -> None:
        self._limiter.hit(_PER_CLIENT, client)
        self._limiter.hit(_TOTAL)

    def _get_seconds(self, limit: RateLimitItemPerSecond, *key: str) -> int:
        if self._limiter.test(limit, *key):
            return 0
        return max(1, math.ceil(self._limiter.get_window_stats(limit, *key).reset_time - time.time()))
