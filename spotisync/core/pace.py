"""The pace: when the next request may be sent, and what 429s teach about the rate. Rates are requests per 30 s."""

from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import Final

# A quarter of the rate may be sent at once after a pause; the rest is spread.
BURST_SHARE: Final = 4
# Spread requests are sent by half faster than evenly, so that unused turns can be made up for.
CATCH_UP: Final = 1.5
# The clock of the server went back if the log is this many seconds ahead of it: no turn is given so early.
FUTURE: Final = 10.0

# The learned rate of a developer account that never met a 429, and the lowest.
START: Final = 45.0
LOWEST: Final = 10.0
# Without any 429, a used window grows the rate by this factor.
GROWTH: Final = 1.5
# A 429 lowers the rate to this part of the one that failed.
FALL: Final = 0.85
# Each used window then raises it by this factor, to this part of the one that failed.
CREEP: Final = 1.06
TOP: Final = 0.95
# After this many seconds there, the rate is raised above the one that failed: Spotify may allow more by now.
PROBE_SECONDS: Final = 3600
PROBE: Final = 1.1
# A window is used if this part of the rate was sent in it.
USED: Final = 0.8


@dataclass(frozen=True)
class Allowance:
    """At most `limit` turns in any `window` seconds; after the first `burst` they are `gap` seconds apart."""

    limit: int
    window: float
    burst: int
    gap: float


def allow(rate: int, reserved: int, window: float) -> Allowance:
    """What a sync may use. `reserved`: turns of each window that are left to playback, at most half of them."""
    limit = rate - min(reserved, rate // 2)
    return Allowance(limit, window, ceil(limit / BURST_SHARE), window / (CATCH_UP * limit))


def allow_playback(rate: int, window: float) -> Allowance:
    """All turns, and without a gap: they are few."""
    return Allowance(rate, window, rate, 0.0)


@dataclass(frozen=True)
class Turn:
    """A turn that begins in `seconds`. `sent`: the turns of the window that ends with it; 0 if it was not given."""

    seconds: float
    sent: int


@dataclass
class TurnLog:
    """The turns given, newest first, some of them in the future. `gate.shared_log` does the same in Redis."""

    turns: deque[float] = field(default_factory=deque)
    paused_until: float = float("-inf")

    def take(self, allowed: Allowance, patience: float, now: float) -> Turn:
        """Give the next free turn if it begins within `patience` seconds."""
        turns, window = self.turns, allowed.window
        if turns and turns[0] > now + FUTURE:
            turns.clear()
        at = max(now, self.paused_until)
        if len(turns) >= allowed.limit:
            at = max(at, turns[allowed.limit - 1] + window)
        if turns:
            spread = len(turns) >= allowed.burst and turns[allowed.burst - 1] + window > at
            at = max(at, turns[0] + (allowed.gap if spread else 0.0))
        if at - now > patience:
            return Turn(at - now, 0)
        turns.appendleft(at)
        while turns[-1] <= at - window:
            turns.pop()
        return Turn(at - now, len(turns))


@dataclass(frozen=True)
class LearnedRate:
    """`failed`: what had been sent in the window of the last 429."""

    rate: float = START
    failed: float | None = None

    def fall(self, sent: int, seconds: float, window: float) -> "LearnedRate":
        """The rate after a 429, `seconds` after the last change. Those of one burst count once.

        `sent`: the requests of the window that ended with the refused one. After a loss of the log that is too few,
        so a fall is never below half.
        """
        if self._is_fallen() and seconds < window:
            return self
        failed = max(float(sent), self.rate / 2, LOWEST)
        return LearnedRate(_fallen(failed), failed)

    def rise(self, sent: int, seconds: float, window: float) -> "LearnedRate":
        """The rate after `seconds` without a change, with `sent` requests in the last window."""
        if seconds < window or sent < USED * self.rate:
            return self
        if self.failed is None:
            return LearnedRate(self.rate * GROWTH)
        if self.rate > self.failed:  # a probe that has not failed
            return LearnedRate(self.rate * PROBE, self.failed)
        if self.rate < TOP * self.failed:
            return LearnedRate(min(TOP * self.failed, self.rate * CREEP), self.failed)
        return LearnedRate(self.failed * PROBE, self.failed) if seconds >= PROBE_SECONDS else self

    def _is_fallen(self) -> bool:
        return self.failed is not None and self.rate <= _fallen(self.failed)


def _fallen(failed: float) -> float:
    return max(LOWEST, FALL * failed)
