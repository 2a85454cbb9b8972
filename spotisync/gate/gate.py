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
from spotisync.core.pace import Turn
from spotisync.core.requests import Family, LimitedFamily
from spotisync.errors import Unavailable, Wait
from spotisync.gate.pace import PATIENCE, UNPACED, Pace
from spotisync.store import cooldowns
from spotisync.store.cooldowns import Cooldown

# Seconds. Cooldowns are also changed by other processes and in SQL, so the cache is short.
CACHE_SECONDS = 0.5
# Seconds without turns after a 429: until then, every process has read its cooldown.
PAUSE_SECONDS = 2 * CACHE_SECONDS
# Seconds between attempts to store what Postgres could not.
STORE_AGAIN_SECONDS = 0.5

log = logging.getLogger(__name__)
Begin = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Arrived429:
    """A 429 that arrived at this `monotonic()` time. While Postgres is away, its cooldown is that of a first 429.

    `sent`: that of the turn that it refused; 0 if it took no turn.
    """

    family: LimitedFamily
    header: str | None
    quota: bool
    sent: int
    at: float

    @property
    def age(self) -> float:
        return time.monotonic() - self.at

    @property
    def is_rate(self) -> bool:
        return self.compute_cooldown().reason == "rate"

    def compute_cooldown(self) -> Cooldown:
        new = backoff.cooldown(
            self.family, backoff.parse_retry_after(self.header, datetime.now(UTC)), quota=self.quota, strikes=0
        )
        seconds = new.seconds - self.age
        return Cooldown(new.family, datetime.now(UTC) + timedelta(seconds=seconds), new.reason, seconds)


class Gate:
    """One per process and developer account. `begin` opens a transaction."""

    def __init__(self, begin: Begin, developer: str, pace: Pace = UNPACED) -> None:
        self._begin = begin
        self._developer = developer
        self._pace = pace
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._blocks: list[Cooldown] = []
        self._unsaved: list[Arrived429] = []
        self._unsaved_lock = threading.Lock()

    @property
    def rate(self) -> int:
        """Requests per 30 s, of all processes; 0 for no limit."""
        return self._pace.rate

    def enter(self, family: Family) -> int:
        """Block until a request of the family may be sent; send it at once. Raises `Wait` if that takes too long.

        Returns what `record_429` has to know.
        """
        return self.await_turn(family, self.take_turn(family))

    def take_turn(self, family: Family) -> Turn:
        """Take the next turn. Raises `Wait` if it is too far away or requests of the family are blocked."""
        self.check_cooldown(family)
        turn = self._pace.take_turn(family)
        if not turn.sent:
            # Turns are taken ahead, so the batch returns before this one begins, or it would pass unused.
            seconds = max(0.1, turn.seconds - PATIENCE / 2)
            raise Wait(family, datetime.now(UTC) + timedelta(seconds=seconds), "pace", seconds)
        return turn

    def await_turn(self, family: Family, turn: Turn) -> int:
        """Block until the turn begins. The cooldown is checked again, since one may have been recorded meanwhile."""
        if turn.seconds:
            time.sleep(turn.seconds)
            time.sleep(self._pace.find_pause())
        self.check_cooldown(family)
        return turn.sent

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
                    self._pace.refresh(connection)
                    self._blocks = cooldowns.list_active(connection, self._developer)
                self._read_at = started
            age = time.monotonic() - self._read_at
            return _find_longest(self._blocks, family, age)

    def record_429(self, family: LimitedFamily, header: str | None, *, quota: bool, sent: int = 0) -> Wait:
        """Commit the cooldown of a 429; an existing one is extended, never shortened. Returns the `Wait` to raise.

        `sent`: returned by `enter`; 0 for a request that did not enter. The rate is learned from the others.

        While Postgres is away, this process keeps the cooldown and commits it as soon as Postgres answers.
        """
        arrived = Arrived429(family, _as_seconds(header), quota, sent, time.monotonic())
        if arrived.is_rate:
            self._pace.pause(PAUSE_SECONDS)
        try:
            until, reason = self._store(arrived)
        except Unavailable as error:
            log.warning("a 429 of %s can't be stored now (%s); this process waits nevertheless", family, error)
            self._keep(arrived)
            cooldown = arrived.compute_cooldown()
            until, reason = cooldown.until, cooldown.reason
        return Wait(family, until, reason)

    def _store(self, arrived: Arrived429) -> tuple[datetime, str]:
        with self._begin() as connection:
            stored = cooldowns.record(
                connection, self._developer, arrived.family, arrived.header, quota=arrived.quota, age=arrived.age
            )
            if arrived.sent and arrived.is_rate:
                self._pace.learn_429(connection, arrived.sent)
        with self._lock:
            self._read_at = float("-inf")
        return stored

    def _keep(self, arrived: Arrived429) -> None:
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
