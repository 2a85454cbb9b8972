"""The gate: every request passes it before it is sent, in every process."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from spotisync.core.requests import Family, LimitedFamily
from spotisync.errors import Wait
from spotisync.gate.pace import UNPACED, Pace
from spotisync.store import cooldowns
from spotisync.store.cooldowns import Cooldown

# Seconds. Cooldowns are also changed by other processes and in SQL, so the cache is short.
CACHE_SECONDS = 0.5
# Seconds. A request that would wait longer for its turn frees the worker's slot; its batch is retried later.
PATIENCE = 2.0

Begin = Callable[[], AbstractContextManager[Any]]


class Gate:
    """One per process. `begin` opens a transaction."""

    def __init__(self, begin: Begin, client_id: str, pace: Pace = UNPACED) -> None:
        self._begin = begin
        self._client_id = client_id
        self._pace = pace
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._blocks: list[Cooldown] = []

    def enter(self, family: Family) -> None:
        """Block until a request of the family may be sent; send it at once. Raises `Wait` if that takes too long.

        The cooldown is checked again after each wait for a turn, and after the turn itself, for which a slow Redis may
        take seconds: one may have been recorded meanwhile.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            self.check_cooldown(family)
            seconds = self._pace.take_turn(family)
            if not seconds:
                self.check_cooldown(family)
                return
            if time.monotonic() + seconds > deadline:
                raise Wait(family, datetime.now(UTC) + timedelta(seconds=seconds), "pace", seconds)
            time.sleep(seconds)

    def check_cooldown(self, family: LimitedFamily) -> None:
        """Raise `Wait` if requests of the family are blocked."""
        if self.find_block(family) and (block := self.find_block(family, fresh=True)):
            raise Wait(family, block.until, block.reason, block.seconds)

    def find_block(self, family: str, *, fresh: bool = False) -> Cooldown | None:
        """The longest active cooldown of the family, or None. `fresh`: bypass the cache."""
        with self._lock:
            if fresh or time.monotonic() - self._read_at > CACHE_SECONDS:
                started = time.monotonic()
                with self._begin() as connection:
                    self._blocks = cooldowns.list_active(connection, self._client_id)
                self._read_at = started
            age = time.monotonic() - self._read_at
            covering = [each for each in self._blocks if each.family in {family, "*"} and each.seconds > age]
        return max(covering, key=lambda each: each.until, default=None)

    def record_429(self, family: LimitedFamily, header: str | None, *, quota: bool) -> Wait:
        """Commit the cooldown of a 429; an existing one is extended, never shortened. Returns the `Wait` to raise."""
        with self._begin() as connection:
            until, reason = cooldowns.record(connection, self._client_id, family, header, quota=quota)
        with self._lock:
            self._read_at = float("-inf")
        return Wait(family, until, reason)
