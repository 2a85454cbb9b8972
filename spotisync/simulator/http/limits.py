"""The two walls: a rolling window over everything, and a quota per family over a day."""

from collections import deque
from math import ceil

from spotisync.simulator.http.request import Reply, error
from spotisync.simulator.settings import Settings


class Limits:
    """Counts what was answered. A refused request is not counted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._window: deque[float] = deque()
        self._spent: dict[str, deque[float]] = {}

    def forget(self) -> None:
        self._window.clear()
        self._spent.clear()

    def refusal(self, family: str, now: float) -> Reply | None:
        """Count this request, or give the 429 that it gets."""
        settings = self._settings
        spent = self._spent.setdefault(family, deque())
        _drop(spent, now - settings.quota_window)
        _drop(self._window, now - settings.rate_window)
        quota = settings.quota.get(family)
        if quota is not None and len(spent) >= quota:
            return _quota_exceeded(spent[0] + settings.quota_window - now if spent else settings.quota_window)
        if settings.rate and len(self._window) >= settings.rate:
            return self._too_fast(self._window[0] + settings.rate_window - now)
        spent.append(now)
        self._window.append(now)
        return None

    def _too_fast(self, wait: float) -> Reply:
        headers = {"Retry-After": str(max(1, ceil(wait)))} if self._settings.rate_retry_after else {}
        if self._settings.rate_body == "text":
            return Reply(429, "Too many requests", headers, "text/plain")
        return error(429, "API rate limit exceeded", headers)


def _drop(times: deque[float], before: float) -> None:
    while times and times[0] <= before:
        times.popleft()


def _quota_exceeded(wait: float) -> Reply:
    return error(429, "Too many requests", {"Retry-After": str(max(1, ceil(wait)))}, reason="QUOTA_EXCEEDED")
