"""Ranges, streaks and calendars of listening. Pure; days are those of the listener's time zone."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

Range = Literal["4w", "6m", "1y", "all"]
# Whole days including today; None: all plays.
DAYS: Final[Mapping[Range, int | None]] = {"4w": 28, "6m": 182, "1y": 365, "all": None}
LEVELS: Final = 4
KNOWN_YEARS: Final = range(2006, 2038)
WEEK: Final = 7


@dataclass(frozen=True)
class Streak:
    """Days in a row with plays, up to and including `last`. No days: there are no plays."""

    days: int
    last: date | None


@dataclass(frozen=True)
class CalendarDay:
    """`level`: 0 without plays, to `LEVELS` for the days with most."""

    day: date
    plays: int
    level: int


@cache
def has_whole_hours(zone: str) -> bool:
    """Whether clocks have differed from UTC by whole hours since Spotify began, and will in the years to come."""
    months = (datetime(year, month, 1, tzinfo=ZoneInfo(zone)) for year in KNOWN_YEARS for month in range(1, 13))
    return all((each.utcoffset() or timedelta()) % timedelta(hours=1) == timedelta() for each in months)


def get_first_day(chosen: Range, today: date) -> date | None:
    days = DAYS[chosen]
    return today - timedelta(days=days - 1) if days else None


def get_midnight(day: date, zone: str) -> datetime:
    """The moment a day begins. Of two midnights when clocks are set back, the first one."""
    return datetime.combine(day, time(), ZoneInfo(zone))


def find_longest_streak(days: Iterable[date]) -> Streak:
    """The later one of streaks of equal length. The days are in order."""
    longest, length, before = Streak(0, None), 0, None
    for day in days:
        length = length + 1 if before and day - before == timedelta(days=1) else 1
        before = day
        if length >= longest.days:
            longest = Streak(length, day)
    return longest


def find_current_streak(days: Collection[date], today: date) -> Streak:
    """The streak that today or, while today has no plays yet, yesterday continues."""
    known = set(days)
    last = today if today in known else today - timedelta(days=1)
    length = 0
    while last - timedelta(days=length) in known:
        length += 1
    return Streak(length, last) if length else Streak(0, None)


def make_calendar(plays: Mapping[date, int], last: date, weeks: int) -> list[list[CalendarDay]]:
    """Whole weeks from Monday on, the last one up to `last`. A level contains a quarter of the days with plays."""
    begin = last - timedelta(days=last.weekday() + WEEK * (weeks - 1))
    days = [begin + timedelta(days=n) for n in range((last - begin).days + 1)]
    ranked = sorted(plays[day] for day in days if plays.get(day))
    limits = [ranked[len(ranked) * n // LEVELS] for n in range(1, LEVELS)] if ranked else []

    def level(count: int) -> int:
        return 1 + sum(count >= limit for limit in limits) if count else 0

    cells = [CalendarDay(day, count := plays.get(day, 0), level(count)) for day in days]
    return [cells[start : start + WEEK] for start in range(0, len(cells), WEEK)]


def cumulate(months: Mapping[date, int], last: date, total: int = 0) -> list[tuple[date, int]]:
    """The sum up to the end of each month, from the first month on; months are named by their first day.

    `total`: what was there before.
    """
    if not months:
        return []
    month, sums = min(months), []
    while month <= last:
        total += months.get(month, 0)
        sums.append((month, total))
        month = (month + timedelta(days=31)).replace(day=1)
    return sums
