"""The pace: a limit on the requests that all workers together send in any 30 s. The log of turns may be lost.

Spotify counts requests in a rolling window of 30 s, does not publish its limit, and answers 429 above it.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from redis import RedisError

from spotisync.core.pace import LearnedRate, Turn, TurnLog, allow, allow_playback
from spotisync.core.requests import Family
from spotisync.gate.shared_log import SharedLog
from spotisync.store import paces

log = logging.getLogger(__name__)
T = TypeVar("T")

# Seconds; one more than Spotify's window, because the time from here to Spotify varies.
WINDOW = 31.0
# Seconds. A request that would wait longer for its turn frees the worker's slot; its batch is retried later. Playback
# waits longer, so that a sync that has taken all turns of the next seconds does not keep it from the one after them.
PATIENCE = 2.0
PLAYER_PATIENCE = 4.0
# After an error, Redis is not asked again for this long.
AWAY_SECONDS = 5.0
# Seconds for which what playback needs is not read again.
RESERVE_SECONDS = 60.0
# Seconds. The turns taken before do not show any more whether the pace is used.
STALE_SECONDS = 5.0


class Pace:
    """Shared by all processes of one developer account. `rate`: requests per 30 s, 0 for no limit, `auto`: learned.

    Without Redis, or while it is away, each process applies the limit on its own; a 429 that results is handled as
    usual. `is_default`: the developer account is that of the accounts without an app of their own.
    """

    def __init__(
        self,
        redis_url: str | None,
        developer: str,
        rate: int | Literal["auto"],
        window: float | None = None,
        *,
        is_default: bool = True,
    ) -> None:
        self._developer = developer
        self._is_default = is_default
        self.is_learned = rate == "auto"
        self.rate = int(LearnedRate().rate) if rate == "auto" else rate
        self._window = window or WINDOW
        self._reserved = 1
        self._reserved_until = float("-inf")
        self._shared = SharedLog(redis_url, developer) if redis_url and self.rate else None
        self._local = TurnLog()
        self._lock = threading.Lock()
        self._away_until = float("-inf")
        self._sent, self._sent_at = 0, float("-inf")

    def take_turn(self, family: Family) -> Turn:
        """Take the next free turn, which may begin in a moment, or none if it is too far away. Turns keep their order.

        A sync leaves what playback needs; playback may use all turns.
        """
        if not self.rate:
            return Turn(0.0, 1)
        is_player = family == "player"
        rate, window = self.rate, self._window
        allowed = allow_playback(rate, window) if is_player else allow(rate, self._reserved, window)
        # At a low rate a worker waits for a few turns, too, or turns would pass while messages are on their way.
        patience = PLAYER_PATIENCE if is_player else PATIENCE * min(2.0, max(1.0, 2 * window / allowed.limit))
        shared = self._ask(lambda shared: shared.take(allowed, patience))
        turn = shared or self._take_locally(lambda local: local.take(allowed, patience, time.monotonic()))
        if turn.sent:
            self._sent, self._sent_at = turn.sent, time.monotonic()
        return turn

    def pause(self, seconds: float) -> None:
        """Give no turn for so long, in any process."""
        self._ask(lambda shared: shared.pause(seconds))
        self._local.paused_until = time.monotonic() + seconds

    def find_pause(self) -> float:
        """The remaining seconds of a pause."""
        local = max(0.0, self._local.paused_until - time.monotonic())
        return max(local, self._ask(lambda shared: shared.find_pause()) or 0.0)

    def refresh(self, connection: Any) -> None:
        """Read what other processes have learned, and raise the rate if it is due."""
        if not self.rate:
            return
        if time.monotonic() > self._reserved_until:
            within = self._window + RESERVE_SECONDS
            self._reserved = paces.count_due_reads(connection, self._developer, within, is_default=self._is_default)
            self._reserved_until = time.monotonic() + RESERVE_SECONDS
        if self.is_learned:
            self._use(self._raise_rate(connection))

    def learn_429(self, connection: Any, sent: int) -> None:
        """Lower the learned rate after a 429. `sent`: that of the turn that was refused."""
        if self.is_learned:
            known, seconds = paces.read(connection, self._developer, lock=True)
            fallen = known.fall(sent, seconds, self._window)
            if fallen != known:
                paces.replace(connection, self._developer, known, fallen)
                log.warning("429 after %s requests in 30 s; the rate is now %.0f", sent, fallen.rate)
            self._use(fallen)

    def _raise_rate(self, connection: Any) -> LearnedRate:
        known, seconds = paces.read(connection, self._developer)
        sent = self._sent if time.monotonic() - self._sent_at < STALE_SECONDS else 0
        risen = known.rise(sent, seconds, self._window)
        if risen == known:
            return known
        return risen if paces.replace(connection, self._developer, known, risen) else known

    def _use(self, learned: LearnedRate) -> None:
        self.rate = int(learned.rate)

    def _ask(self, question: Callable[[SharedLog], T]) -> T | None:
        """None while Redis is away."""
        if self._shared is None or time.monotonic() <= self._away_until:
            return None
        try:
            return question(self._shared)
        except RedisError as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("Redis does not answer (%s); pacing in this process only", type(error).__name__)
            return None

    def _take_locally(self, take: Callable[[TurnLog], Turn]) -> Turn:
        with self._lock:
            return take(self._local)


UNPACED = Pace(None, "", 0)
