"""The calls of the next 24 hours: when scheduled work is due, times what its last runs cost."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Final

from spotisync.core import schedule
from spotisync.core.rhythm import AdaptedInterval, Rhythm
from spotisync.core.schedule import Cron, Kind, Rule

HOURS: Final = 24
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class ScheduledWork:
    """One kind of scheduled work of an account. `calls`: of one run, by family. `weight`: like how many accounts."""

    kind: Kind
    account_id: int
    rule: Rule
    due_at: datetime
    rhythm: Rhythm | None
    calls: Mapping[str, float]
    weight: float = 1.0

    def get_seconds(self, at: datetime) -> float:
        """The interval that begins at this time, if no call is scarce."""
        assert not isinstance(self.rule, Cron)  # noqa: S101 (for mypy)
        usual = self.rule.seconds
        return min(AdaptedInterval(self.kind, usual, self.rhythm, at).get_seconds(at), schedule.longest(usual))


def forecast_calls(
    work: Iterable[ScheduledWork], now: datetime, blocked: Mapping[str, datetime] | None = None
) -> dict[str, list[int]]:
    """The calls of each of the next 24 hours by family; none until the end of a family's cooldown in `blocked`.

    Reads of plays are a lower estimate: they are more frequent while an account plays, which is not known before.
    """
    sums: dict[str, list[float]] = {}
    for each in work:
        times = count_due(each, now)
        for family, calls in each.calls.items():
            hours = sums.setdefault(family, [0.0] * HOURS)
            for hour, number in enumerate(times):
                hours[hour] += number * calls * each.weight
    ends = blocked or {}
    return {family: _round(_after(ends.get(family), now, hours)) for family, hours in sums.items()}


def count_due(work: ScheduledWork, now: datetime) -> list[int]:
    """How often the work is due in each of the next 24 hours."""
    counts = [0] * HOURS
    at = max(work.due_at, now)
    while (hour := (at - now) // HOUR) < HOURS:
        if isinstance(work.rule, Cron):
            number, following = 1, schedule.next_time(work.rule, at, work.account_id)
        else:
            # All times of an hour at once: many accounts have many of them.
            seconds = work.get_seconds(at)
            number = max(1, math.ceil((now + (hour + 1) * HOUR - at).total_seconds() / seconds))
            following = at + timedelta(seconds=number * seconds)
        counts[hour] += number
        at = following
    return counts


def _after(end: datetime | None, now: datetime, hours: list[float]) -> list[float]:
    return [0.0 if end and now + (hour + 1) * HOUR <= end else calls for hour, calls in enumerate(hours)]


def _round(numbers: Sequence[float]) -> list[int]:
    """Whole numbers with the same running sums, so that many small parts don't vanish."""
    return [later - earlier for earlier, later in pairwise([0, *(round(each) for each in accumulate(numbers))])]


def fit_calls(allowance: int, past: Sequence[int], coming: Sequence[int]) -> tuple[list[int], int | None]:
    """The coming calls that fit into an allowance of 24 hours, and the first hour in which some do not.

    `past`: the calls of the last 24 hours. Those of each hour leave the window a day later.
    """
    spent, fitting, short = sum(past), list[int](), None
    for hour, (older, wanted) in enumerate(zip(past, coming, strict=True)):
        spent -= older
        calls = min(wanted, max(0, allowance - spent))
        short = hour if calls < wanted and short is None else short
        fitting.append(calls)
        spent += calls
    return fitting, short


# ---- the cost of one run --------------------------------------------------------------------------------------------

# Of an incremental sync that finds no change.
USUAL_INCREMENTAL: Final[Mapping[str, float]] = {"library": 4.0, "playlists": 2.0}


def divide_into_pages(totals: Mapping[str, Iterable[int]], page: int) -> dict[str, float]:
    """The calls that lists of these lengths take, by family. Empty lists take one call each."""
    return {family: float(sum(max(1, -(-rows // page)) for rows in lists)) for family, lists in totals.items()}
