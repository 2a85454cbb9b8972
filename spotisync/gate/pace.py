"""The pace: a limit on the requests that all workers together send in any 30 s. It is in Redis and may be lost.

Spotify counts requests in a rolling window of 30 s, does not publish its limit, and answers 429 above it. Two windows
are used here: the long one enforces the limit; the short one spreads the requests, so that a sync advances
continuously instead of for one second in thirty.
"""

import logging
import re
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisSentinelStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from spotisync.core.requests import Family

log = logging.getLogger(__name__)

# Seconds; one more than Spotify's window, because the time from here to Spotify varies.
WINDOW = 31
# Seconds. A short window allows a fifth more than its even share, so that unused turns can be made up for.
SHORT_WINDOW = 2
# After an error, Redis is not asked again for this long.
AWAY_SECONDS = 5.0
# One request in sixty is reserved for playback, which must not wait behind a sync.
PLAYBACK_SHARE = 60


@dataclass(frozen=True)
class RateShare:
    """A part of the limit with its own windows; shares do not count each other's requests."""

    name: str
    windows: tuple[RateLimitItemPerSecond, ...]

    @classmethod
    def of(cls, name: str, requests: int, window: int) -> "RateShare":
        burst = -(-requests * SHORT_WINDOW * 6 // (window * 5))
        short = RateLimitItemPerSecond(burst, SHORT_WINDOW)
        long = RateLimitItemPerSecond(requests, window)
        return cls(name, (short, long) if burst < requests else (long,))


class Pace:
    """Shared by all processes of one client id. `rate`: requests per 30 s, 0 for no limit.

    Without Redis, or while it is away, each process applies the limit on its own; a 429 that results is handled as
    usual.
    """

    def __init__(self, redis_url: str | None, client_id: str, rate: int, window: int = WINDOW) -> None:
        playback = max(1, rate // PLAYBACK_SHARE) if rate > 1 else 0
        self._client_id = client_id
        self._sync = RateShare.of("sync", rate - playback, window) if rate else None
        self._playback = RateShare.of("kept", playback, window) if playback else self._sync
        self._shared = _limiter(redis_url) if redis_url and rate else None
        self._away_until = float("-inf")

    @cached_property
    def _local(self) -> MovingWindowRateLimiter:
        return MovingWindowRateLimiter(MemoryStorage())  # on first use, because it starts a thread

    def take_turn(self, family: Family) -> float:
        """Take a turn. Returns 0.0 if the request may be sent now, else the seconds after which to try again."""
        share = self._playback if family == "player" else self._sync
        if share is None:
            return 0.0
        if self._shared and time.monotonic() > self._away_until:
            try:
                return self._take(self._shared, share)
            except StorageError as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("Redis does not answer (%s); pacing in this process only", type(error.__cause__).__name__)
        return self._take(self._local, share)

    def _take(self, limiter: MovingWindowRateLimiter, share: RateShare) -> float:
        """Test both windows before counting in either: a turn that one refuses must not count in the other."""
        key = (self._client_id, share.name)
        for take in (limiter.test, limiter.hit):
            for window in share.windows:
                if not take(window, *key):
                    return max(0.01, limiter.get_window_stats(window, *key).reset_time - time.time())
        return 0.0


UNPACED = Pace(None, "", 0)


def redis_url(url: str, sentinel_master: str | None = None) -> str | None:
    """Convert Celery's Redis URL to that of `limits`; None if it is no Redis URL."""
    parts = urlsplit(url)
    if parts.scheme in {"redis", "rediss"}:
        return url
    if parts.scheme == "sentinel":
        login = "".join(parts.netloc.rpartition("@")[:2])
        hosts = (urlsplit(each).netloc.rpartition("@")[2] for each in url.split(";"))
        ports = ",".join(host if re.search(r":\d+$", host) else f"{host}:26379" for host in hosts)
        return f"redis+sentinel://{login}{ports}/{sentinel_master}"
    if parts.scheme not in {"redis+socket", "socket"}:
        return None
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return f"redis+unix://{parts.netloc}{parts.path}?db={database}"


def _limiter(redis_url: str) -> MovingWindowRateLimiter:
    timeouts: dict[str, Any] = {"socket_timeout": 1, "socket_connect_timeout": 1}
    if not redis_url.startswith("redis+sentinel:"):
        return MovingWindowRateLimiter(RedisStorage(redis_url, wrap_exceptions=True, **timeouts))
    # As in Celery, the login is that of Redis, not that of Sentinel.
    own = {"username": None, "password": None, **timeouts}
    return MovingWindowRateLimiter(
        RedisSentinelStorage(redis_url, use_replicas=False, sentinel_kwargs=own, wrap_exceptions=True, **timeouts)
    )
