"""Calls per family and rolling 24 hours: how many there are, and who may spend them.

Spotify counts a quota by developer account and family and publishes no number. The reply to the first call beyond it is
a 429 that can last a day, so scheduled work leaves room: what people ask for and plays, which are lost once fifty
others have followed, may spend everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

Purpose = Literal["playback", "asked", "incremental", "full", "look-ups", "refresh"]
Source = Literal["set", "learned", "assumed"]

# The part of a ceiling that each purpose may fill.
SHARES: Final[Mapping[Purpose, float]] = {
    "playback": 1.0,
    "asked": 1.0,
    "incremental": 0.9,
    "full": 0.8,
    "look-ups": 0.7,
    "refresh": 0.5,
}
DAY: Final = timedelta(days=1)
# Three independent reports met a quota of about 600 (spotify-api.md, 2).
ASSUMED: Final = 600
# An app in development mode has few users (25 before February 2026, 5 since). Others have no quota that is known.
MOST_IN_DEVELOPMENT: Final = 25
# A refusal after fewer calls than this: somebody else spends the quota, too, and no number follows from ours.
LOWEST: Final = 50
# Every try beyond the ceiling costs a ban, so it is not made every day (decision 8).
HELD_DAYS: Final = 7
GROWTH: Final = 1.1


@dataclass(frozen=True)
class Ceiling:
    """Calls in 24 hours, and how they are known. An assumed ceiling slows scheduled work down and refuses nothing."""

    calls: int
    source: Source

    def get_allowance(self, purpose: Purpose) -> int:
        return int(self.calls * SHARES[purpose])


@dataclass(frozen=True)
class FamilyBudget:
    """Calls of one family in the last 24 hours, and their ceiling if there is one."""

    family: str
    spent: int
    ceiling: Ceiling | None

    @property
    def left(self) -> float | None:
        """The part, 0..1, of the ceiling that is left. None: no ceiling is known."""
        return max(0.0, 1 - self.spent / self.ceiling.calls) if self.ceiling else None

    def find_excess(self, purpose: Purpose, calls: int) -> int:
        """By how many calls `calls` more exceed what this purpose may spend."""
        if self.ceiling is None or self.ceiling.source == "assumed" or purpose == "asked":
            return 0
        return max(0, self.spent + calls - self.ceiling.get_allowance(purpose))


def lower_estimate(spent: int, current: int | None) -> int:
    """The estimate after a refusal for the quota, `spent` calls after the same time of the day before."""
    return max(LOWEST, min(spent, current) if current is not None else spent)


def grow_estimate(estimate: int, age: timedelta) -> int:
    """The current estimate, `age` after the refusal that it stems from."""
    return int(estimate * GROWTH ** max(0, age // DAY - HELD_DAYS))


def find_ceiling(known: int | None, learned: int | None, spent: int, accounts: int) -> Ceiling | None:
    """`known`: set by the operator; `learned`: the current estimate; `accounts`: of this developer account."""
    if known is not None:
        # Spotify may have refused below what the operator has set.
        return Ceiling(known, "set") if learned is None or known <= learned else Ceiling(learned, "learned")
    if learned is not None:
        return Ceiling(learned, "learned")
    # More calls than the assumed number without a refusal: the assumption is wrong.
    return Ceiling(ASSUMED, "assumed") if accounts <= MOST_IN_DEVELOPMENT and spent < ASSUMED else None


def find_free_time(minutes: Iterable[tuple[datetime, int]], excess: int) -> datetime | None:
    """When `excess` calls will have left the window of 24 hours.

    `minutes`: the calls in the window by minute, oldest first. None: there are fewer calls in it.
    """
    for minute, calls in minutes:
        excess -= calls
        if excess <= 0:
            # A minute's calls count until its last second is a day old.
            return minute + DAY + timedelta(minutes=1)
    return None


# The part of a ceiling that can be spent before intervals become longer.
PLENTY: Final = 3 / 4


def stretch_factor(left: float | None) -> float:
    """The factor of intervals: 1 while a quarter of the scarcest ceiling is left, then inversely to what is left."""
    scarce = 1 - PLENTY
    return 1.0 if left is None or left >= scarce else min(8.0, scarce / left) if left else 8.0


def find_scarcest(budgets: Iterable[FamilyBudget]) -> FamilyBudget | None:
    known = [(each.left, each.family, each) for each in budgets if each.left is not None]
    return min(known)[2] if known else None
