"""The gate: every request passes it before it is sent, in every process."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from spotisync.core import backoff
from spotisync.core.requests import Family, LimitedFamily
from spotisync.errors import Unavailable, Wait
from spotisync.gate.pace import UNPACED, Pace
from spotisync.store import cooldowns
from spotisync.store.cooldowns import Cooldown

# Seconds. Cooldowns are also changed by other processes and in SQL, so the cache is short.
CACHE_SECONDS = 0.5
# Seconds. A request that would wait longer for its turn frees the worker's slot; its batch is retried later.
PATIENCE = 2.0
# Seconds between attempts to store what Postgres could not.
STORE_AGAIN_SECONDS = 0.5

log = logging.getLogger(__name__)
Begin = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Unsaved429:
    """A 429 that arrived while Postgres was away, at this `monotonic()` time. Its cooldown is that of a first 429."""

    family: LimitedFamily
    header: str | None
    quota: bool
    at: float

    @property
    def age(self) -> float:
        return time.monotonic() - self.at

    def compute_cooldown(self) -> Cooldown:
        new = backoff.cooldown(
            self.family, backoff.parse_retry_after(self.header, datetime.now(UTC)), quota=self.quota, strikes=0
        )
        seconds = new.seconds - self.age
        return Cooldown(new.family, datetime.now(UTC) + timedelta(seconds=seconds), new.reason, seconds)


class Gate:
    """One per process. `begin` opens a transaction."""

    def __init__(self, begin: Begin, client_id: str, pace: Pace = UNPACED) -> None:
        self._begin = begin
        self._client_id = client_id
        self._pace = pace
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._blocks: list[Cooldown] = []
        self._unsaved: list[Unsaved429] = []
        self._unsaved_lock = threading.Lock()

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
        if unsaved := _find_longest((each.compute_cooldown() for each in tuple(self._unsaved)), family):
            return unsaved  # Postgres may still be away
        with self._lock:
            if fresh or time.monotonic() - self._read_at > CACHE_SECONDS:
                started = time.monotonic()
                with self._begin() as connection:
                    self._blocks = cooldowns.list_active(connection, self._client_id)
                self._read_at = started
            age = time.monotonic() - self._read_at
            return _find_longest(self._blocks, family, age)

    def record_429(self, family: LimitedFamily, header: str | None, *, quota: bool) -> Wait:
        """Commit the cooldown of a 429; an existing one is extended, never shortened. Returns the `Wait` to raise.

        While Postgres is away, this process keeps the cooldown and commits it as soon as Postgres answers.
        """
        arrived = Unsaved429(family, _as_seconds(header), quota, time.monotonic())
        try:
            until, reason = self._store(arrived)
        except Unavailable as error:
            log.warning("a 429 of %s can't be stored now (%s); this process waits nevertheless", family, error)
            self._keep(arrived)
            cooldown = arrived.compute_cooldown()
            until, reason = cooldown.until, cooldown.reason
        return Wait(family, until, reason)

    def _store(self, arrived: Unsaved429) -> tuple[datetime, str]:
        with self._begin() as connection:
            stored = cooldowns.record(
                connection, self._client_id, arrived.family, arrived.header, quota=arrived.quota, age=arrived.age
            )
        with self._lock:
            self._read_at = float("-inf")
        return stored

    def _keep(self, arrived: Unsaved429) -> None:
        """A thread stores it, since this process may send no further request."""
        with self._unsaved_lock:
            self._unsaved.append(arrived)
            if len(self._unsaved) == 1:
                threading.Thread(target=self._store_unsaved, name="cooldowns", daemon=True).start()

    def _store_unsaved(self) -> None:
        """Runs until every kept 429 is stored or its cooldown is over."""
        while self._unsaved:
            time.sleep(STORE_AGAIN_SECONDS)
            with suppress(Exception):  # the next attempt follows
                oldest = self._unsaved[0]
                if oldest.compute_cooldown().seconds > 0:
                    self._store(oldest)
                with self._unsaved_lock:
                    self._unsaved.remove(oldest)


def _find_longest(cooldowns: Iterable[Cooldown], family: str, age: float = 0.0) -> Cooldown | None:
    """`age`: seconds since their remaining seconds were read."""
    covering = [each for each in cooldowns if each.family in {family, "*"} and each.seconds > age]
    return max(covering, key=lambda each: each.until, default=None)


def _as_seconds(header: str | None) -> str | None:
    """A date becomes seconds now, since it may be stored later."""
    seconds = backoff.parse_retry_after(header, datetime.now(UTC))
    return None if seconds is None else str(seconds)
