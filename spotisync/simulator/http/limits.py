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

    def reset(self) -> None:
        self._window.clear()
        self._used.clear()

    def admit(self, family: str, now: float) -> Reply | None:
        """Count this request, or return the 429 that refuses it."""
        settings = self._settings
        used = self._used.setdefault(family, deque())
        _drop(used, now - settings.quota_window)
        _drop(self._window, now - settings.rate_window)
        quota = settings.quota.get(family)
        if quota is not None and len(used) >= quota:
            return _quota_exceeded(used[0] + settings.quota_window - now if used else settings.quota_window)
        if settings.rate and len(self._window) >= settings.rate:
            return self._rate_exceeded(self._window[0] + settings.rate_window - now)
        used.append(now)
        self._window.append(now)
        return None

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
