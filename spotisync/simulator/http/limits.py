"""Spotify's limits: a rolling window per app, a quota per developer, family and day, and bans of developers."""

from collections import defaultdict, deque
from math import ceil

from spotisync.simulator.http.request import Reply, error
from spotisync.simulator.settings import SimulatorSettings


class Limits:
    """Counts the requests that were answered. A refused request is not counted."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._windows: defaultdict[str, deque[float]] = defaultdict(deque)  # by client id
        self._used: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)  # by developer and family
        # By client id or developer, and limit: its end, and the Retry-After that it began with.
        self._cooldowns: dict[tuple[str, str], tuple[float, float]] = {}

    def reset(self) -> None:
        self._windows.clear()
        self._used.clear()
        self._cooldowns.clear()

    def admit(self, family: str, now: float, client_id: str | None = None) -> Reply | None:
        """Count this request of a client, or return the 429 that refuses it. None: a client of its own."""
        client = client_id or ""
        developer = self._settings.developers.get(client, client)
        if (wait := self._settings.banned.get(developer, 0) - now) > 0:
            return _quota_exceeded(wait, "ban")
        if wait := self._prolonged((developer, family), self._quota_wait(developer, family, now), now):
            return _quota_exceeded(wait, "quota")
        if wait := self._prolonged((client, "rate"), self._rate_wait(client, now), now):
            return self._rate_exceeded(wait)
        self._used[developer, family].append(now)
        self._windows[client].append(now)
        return None

    def _quota_wait(self, developer: str, family: str, now: float) -> float:
        """Return the seconds until the developer's quota of the family allows a request."""
        settings = self._settings
        used = self._used[developer, family]
        _drop(used, now - settings.quota_window)
        quota = settings.developer_quota.get(developer, {}).get(family, settings.quota.get(family))
        if quota is None or len(used) + settings.quota_used_elsewhere.get(family, 0) < quota:
            return 0
        return used[0] + settings.quota_window - now if used else settings.quota_window

    def _rate_wait(self, client: str, now: float) -> float:
        settings = self._settings
        window = self._windows[client]
        _drop(window, now - settings.rate_window)
        rate = settings.client_rate.get(client, settings.rate)
        if not rate or len(window) < rate:
            return 0
        return window[0] + settings.rate_window - now

    def _prolonged(self, limit: tuple[str, str], wait: float, now: float) -> float:
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
            return Reply(429, "Too many requests", headers, "text/plain", "rate")
        return error(429, "API rate limit exceeded", headers)._replace(limit="rate")


def _drop(times: deque[float], before: float) -> None:
    while times and times[0] <= before:
        times.popleft()


def _quota_exceeded(wait: float, limit: str) -> Reply:
    headers = {"Retry-After": str(max(1, ceil(wait)))}
    return error(429, "Too many requests", headers, reason="QUOTA_EXCEEDED")._replace(limit=limit)
