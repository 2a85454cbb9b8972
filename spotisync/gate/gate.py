"""The gate: may a request of this family be sent now? Every request passes it, in every process."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from spotisync.core.requests import Family
from spotisync.errors import Wait
from spotisync.gate.pace import UNPACED, Pace
from spotisync.store import cooldowns
from spotisync.store.cooldowns import Cooldown

# Tests and people may move a cooldown in SQL, and other processes meet new ones: nothing is believed for longer.
CACHE_SECONDS = 0.5
# A request that would wait longer for its turn gives the worker's slot back: its batch comes again later.
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
        """Return when a request of the family may be sent, which has to be at once. Raises `Wait` if that takes long.

        The cooldown is looked at after the wait for a turn: it may have come meanwhile.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            self.check_cooldown(family)
            seconds = self._pace.take_turn(family)
            if not seconds:
                return
            if time.monotonic() + seconds > deadline:
                raise Wait(family, datetime.now(UTC) + timedelta(seconds=seconds), "pace", seconds)
            time.sleep(seconds)

    def check_cooldown(self, family: Family) -> None:
        """Raise `Wait` if requests of the family are blocked."""
        if self.find_block(family) and (block := self.find_block(family, fresh=True)):
            raise Wait(family, block.until, block.reason, block.seconds)

    def find_block(self, family: str, *, fresh: bool = False) -> Cooldown | None:
        """The longest cooldown that covers the family now, or None. `fresh`: as Postgres has it at this moment."""
        with self._lock:
            if fresh or time.monotonic() - self._read_at > CACHE_SECONDS:
                began = time.monotonic()
                with self._begin() as connection:
                    self._blocks = cooldowns.list_active(connection, self._client_id)
                self._read_at = began
            age = time.monotonic() - self._read_at
            covering = [each for each in self._blocks if each.family in {family, "*"} and each.seconds > age]
        return max(covering, key=lambda each: each.until, default=None)

    def record_429(self, family: Family, header: str | None, *, quota: bool) -> Wait:
        """A 429 came: commit its cooldown, extended and never shortened. Returns the `Wait` to raise."""
        with self._begin() as connection:
            until, reason = cooldowns.record(connection, self._client_id, family, header, quota=quota)
        with self._lock:
            self._read_at = float("-inf")
        return Wait(family, until, reason)
