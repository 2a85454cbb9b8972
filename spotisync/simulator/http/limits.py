"""Spotify's two limits: a rolling window over all requests, and a quota per family and day."""

from collections import deque
from math import ceil

from spotisync.simulator.http.request import Reply, error
from spotisync.simulator.settings import SimulatorSettings


class Limits:
    """Counts the requests that were answered. A refused request is not counted."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._window: deque[float] = deque()
        self._used: dict[str, deque[float]] = {}
        self._cooldowns: dict[str, tuple[float, float]] = {}  # limit: its end, and the Retry-After that it began with

    def reset(self) -> None:
        self._window.clear()
        self._used.clear()
        self._cooldowns.clear()

    def admit(self, family: str, now: float) -> Reply | None:
        """Count this request, or return the 429 that refuses it."""
        if wait := self._prolonged(family, self._quota_wait(family, now), now):
            return _quota_exceeded(wait)
        if wait := self._prolonged("rate", self._rate_wait(now), now):
            return self._rate_exceeded(wait)
        self._used[family].append(now)
        self._window.append(now)
        return None

    def _quota_wait(self, family: str, now: float) -> float:
        """Return the seconds until the quota of the family allows a request."""
        settings = self._settings
        used = self._used.setdefault(family, deque())
        _drop(used, now - settings.quota_window)
        quota = settings.quota.get(family)
        if quota is None or len(used) + settings.quota_used_elsewhere.get(family, 0) < quota:
            return 0
        return used[0] + settings.quota_window - now if used else settings.quota_window

    def _rate_wait(self, now: float) -> float:
        settings = self._settings
        _drop(self._window, now - settings.rate_window)
        if not settings.rate or len(self._window) < settings.rate:
            return 0
        return self._window[0] + settings.rate_window - now

    def _prolonged(self, limit: str, wait: float, now: float) -> float:
        """Return how long the limit refuses requests: with `cooldown_restarts`, all of its Retry-After again."""
        if not self._settings.cooldown_restarts:
            return wait
        until, seconds = self._cooldowns.get(limit, (0.0, 0.0))
        if now < until:
            wait = max(wait, seconds)
        if wait:
            self._cooldowns[limit] = now + wait, wait
        return wait

    def _rate_exceeded(self, wait: float) -> Reply:
        headers = {"Retry-After": str(max(1, ceil(wait)))} if self._settings.rate_retry_after else {}
        if self._settings.rate_body == "text":
            return Reply(429, "Too many requests", headers, "text/plain")
        return error(429, "API rate limit exceeded", headers)


def _drop(times: deque[float], before: float) -> None:
    while times and times[0] <= before:
        times.popleft()


def _quota_exceeded(wait: float) -> Reply:
    return error(429, "Too many requests", {"Retry-After": str(max(1, ceil(wait)))}, reason="QUOTA_EXCEEDED")
