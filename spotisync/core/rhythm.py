"""When an account listens and edits, and how often its plays and its library are therefore read.

Recently played holds the last fifty plays, each of at least 30 s. A read is in time if no fifty plays can have ended
since the one before: that takes 25 minutes, however fast someone skips.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

REMEMBERED: Final = 50
# A new account counts as busy for this long.
UNKNOWN: Final = timedelta(days=1)
# After the last play or change an account counts as busy for this long.
BUSY_AFTER: Final = timedelta(hours=2)
# A play that ended this recently: the account is listening now.
LISTENING: Final = timedelta(minutes=15)
# Without a play or change for this long, an account is idle.
IDLE_AFTER: Final = timedelta(days=14)
# Of the time that fifty plays take at the account's fastest.
SAFETY: Final = 0.8
# Factors of SPOTISYNC_INCREMENTAL_INTERVAL and SPOTISYNC_PLAYBACK_INTERVAL: with the default of 1,800 s, three hours;
# with 600 s, the 25 minutes of fifty plays of 30 s, and the 2 h 30 min of fifty tracks of three minutes.
QUIET_SYNC: Final = 6.0
USUAL_READ: Final = 2.5
IDLE_READ: Final = 15.0


@dataclass(frozen=True)
class Rhythm:
    """`busy_hours`: bit h for each hour h of the day, UTC, in which plays or changes were noticed lately.

    `seconds_per_play`: of the fastest ten plays in a row; None: fewer are known. `active_at`: the last play or change.
    `known_since`: when the account was first observed.
    """

    busy_hours: int
    seconds_per_play: float | None
    active_at: datetime | None
    known_since: datetime

    def is_busy(self, at: datetime) -> bool:
        """Whether changes are likely then: in usual hours, the hour before them, and after a play or change."""
        if at - self.known_since < UNKNOWN or self._is_active_within(BUSY_AFTER, at):
            return True
        return any(self.busy_hours >> (at.hour + shift) % 24 & 1 for shift in (0, 1))

    def is_listening(self, at: datetime) -> bool:
        return self._is_active_within(LISTENING, at)

    def is_idle(self, at: datetime) -> bool:
        return at - self.known_since >= UNKNOWN and not self._is_active_within(IDLE_AFTER, at)

    def _is_active_within(self, span: timedelta, at: datetime) -> bool:
        return self.active_at is not None and at - self.active_at < span


def sync_interval(usual: float, rhythm: Rhythm | None, at: datetime) -> float:
    """Seconds between incremental syncs at this time of the day. `usual`: SPOTISYNC_INCREMENTAL_INTERVAL."""
    return usual if rhythm is None or rhythm.is_busy(at) else usual * QUIET_SYNC


def read_interval(usual: float, rhythm: Rhythm | None, now: datetime) -> float:
    """Seconds until the next read of plays. `usual`: SPOTISYNC_PLAYBACK_INTERVAL."""
    if rhythm is None or rhythm.is_listening(now):
        return usual
    if not rhythm.is_idle(now):
        return usual * USUAL_READ
    return max(usual, longest_read_interval(usual, rhythm))


def longest_read_interval(usual: float, rhythm: Rhythm | None) -> float:
    """Seconds within which no fifty plays have ended so far, even at the account's fastest."""
    if rhythm is None or rhythm.seconds_per_play is None:
        return usual * IDLE_READ
    return min(usual * IDLE_READ, rhythm.seconds_per_play * REMEMBERED * SAFETY)


@dataclass(frozen=True)
class AdaptedInterval:
    """The interval of incremental syncs or of reads of plays of one account.

    `usual`: the setting, in seconds. `factor`: of scarce calls. Reads of plays are lengthened by it only as far as no
    play is lost at the account's fastest.
    """

    kind: str
    usual: int
    rhythm: Rhythm | None
    now: datetime
    factor: float = 1.0

    def get_seconds(self, at: datetime) -> float:
        """The interval that ends at this time."""
        if self.kind == "incremental":
            return self.factor * sync_interval(self.usual, self.rhythm, at)
        seconds = read_interval(self.usual, self.rhythm, self.now)
        return max(seconds, min(self.factor * seconds, longest_read_interval(self.usual, self.rhythm)))
