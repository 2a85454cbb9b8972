"""The pace: how many requests all workers together send in any 30 seconds. It lives in Redis, and may be lost.

Spotify counts in a rolling window of 30 s whose size it does not publish, and sends 429 to whoever goes over. Two
windows hold the pace here: the long one keeps the ceiling, a short one within it spreads the requests, so that a sync
moves on all the time instead of a second in thirty.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qs, urlsplit

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from spotisync.core.requests import Family

log = logging.getLogger(__name__)

# A second more than Spotify's: a request takes its time from here to there, and not always the same.
WINDOW = 31
# Within a short window a fifth more than the even share may go, so that what was missed can be made up for.
SPREAD = 2
# For so long a Redis that did not answer is not asked again.
AWAY_SECONDS = 5.0
# Of sixty requests one is kept for playback, which must not wait behind a sync.
KEPT = 60


@dataclass(frozen=True)
class RateShare:
    """Some of the ceiling, with its windows; what is in one window does not count in another one's."""

    name: str
    windows: tuple[RateLimitItemPerSecond, ...]

    @classmethod
    def of(cls, name: str, requests: int, window: int) -> "RateShare":
        """So many requests in so many seconds."""
        burst = -(-requests * SPREAD * 6 // (window * 5))
        short = RateLimitItemPerSecond(burst, SPREAD)
        long = RateLimitItemPerSecond(requests, window)
        return cls(name, (short, long) if burst < requests else (long,))


class Pace:
    """Shared by all that use one client id. `rate`: the ceiling of requests in 30 s, 0 for none.

    Without Redis, or while it is away, each process paces itself; a 429 that comes of it is heeded like any other.
    """

    def __init__(self, redis_url: str | None, client_id: str, rate: int, window: int = WINDOW) -> None:
        kept = max(1, rate // KEPT) if rate > 1 else 0
        self._client_id = client_id
        self._rate = rate
        self._sync = RateShare.of("sync", rate - kept, window) if rate else None
        self._kept = RateShare.of("kept", kept, window) if kept else self._sync
        self._together = MovingWindowRateLimiter(_storage(redis_url)) if redis_url and rate else None
        self._away_until = float("-inf")

    @cached_property
    def _alone(self) -> MovingWindowRateLimiter:
        return MovingWindowRateLimiter(MemoryStorage())  # it starts a thread, so not before it is needed

    def take_turn(self, family: Family) -> float:
        """Take a turn: 0.0 when the request may be sent at once, else in how many seconds it is worth asking again."""
        share = self._kept if family == "player" else self._sync
        return self._ask(lambda limiter: self._take(limiter, share)) if share else 0.0

    def _take(self, limiter: MovingWindowRateLimiter, share: RateShare) -> float:
        """Both windows are looked at before either counts: a turn that one refuses is not to be lost in the other."""
        key = (self._client_id, share.name)
        for take in (limiter.test, limiter.hit):
            for window in share.windows:
                if not take(window, *key):
                    return max(0.01, limiter.get_window_stats(window, *key).reset_time - time.time())
        return 0.0

    def _ask(self, take: Callable[[MovingWindowRateLimiter], float]) -> float:
        if self._together and time.monotonic() > self._away_until:
            try:
                return take(self._together)
            except StorageError as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("Redis does not answer (%s): this process paces itself", type(error.__cause__).__name__)
        return take(self._alone)


UNPACED = Pace(None, "", 0)


def redis_url(url: str) -> str | None:
    """Celery's URL of a Redis as redis-py wants it; None if it names something else."""
    parts = urlsplit(url)
    if parts.scheme in {"redis", "rediss"}:
        return url
    if parts.scheme not in {"redis+socket", "socket"}:
        return None
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return f"redis+unix://{parts.netloc}{parts.path}?db={database}"


def _storage(redis_url: str) -> Storage:
    storage = storage_from_string(redis_url, wrap_exceptions=True, socket_timeout=1, socket_connect_timeout=1)
    assert isinstance(storage, RedisStorage)  # noqa: S101
    return storage
