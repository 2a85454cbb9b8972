"""Ranges, streaks and calendars."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.listening import (
    LEVELS,
    Streak,
    cumulate,
    find_current_streak,
    find_longest_streak,
    get_first_day,
    get_midnight,
    has_whole_hours,
    make_calendar,
)

TODAY = date(2026, 11, 30)
DAYS = st.sets(st.integers(0, 60)).map(lambda found: sorted(TODAY - timedelta(days=n) for n in found))


@pytest.mark.parametrize(
    ("zone", "whole"),
    [
        ("UTC", True), ("Europe/Berlin", True), ("America/New_York", True), ("Pacific/Kiritimati", True),
        ("Asia/Kolkata", False), ("Asia/Kathmandu", False), ("Australia/Lord_Howe", False),
        ("America/Caracas", False),  # half an hour off until 2016
    ],
)  # fmt: skip
def test_knows_zones_that_differ_by_whole_hours(zone: str, whole: bool) -> None:
    assert has_whole_hours(zone) == whole


def test_a_range_contains_today() -> None:
    assert get_first_day("4w", TODAY) == date(2026, 11, 3)
    assert get_first_day("1y", TODAY) == date(2025, 12, 1)
    assert get_first_day("all", TODAY) is None


@pytest.mark.parametrize(
    ("day", "zone", "utc"),
    [
        (date(2026, 3, 29), "Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC)),
        (date(2026, 3, 30), "Europe/Berlin", datetime(2026, 3, 29, 22, tzinfo=UTC)),
        (date(2026, 6, 1), "Asia/Kathmandu", datetime(2026, 5, 31, 18, 15, tzinfo=UTC)),
        # Clocks are set back at midnight, so that it occurs twice.
        (date(2026, 11, 1), "America/Havana", datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_day_begins_at_midnight_of_its_zone(day: date, zone: str, utc: datetime) -> None:
    assert get_midnight(day, zone).astimezone(UTC) == utc


@given(DAYS)
def test_streaks_are_runs_of_days(days: list[date]) -> None:
    longest, current = find_longest_streak(days), find_current_streak(days, TODAY)
    known = set(days)
    for streak in (longest, current):
        if streak.last:
            assert {streak.last - timedelta(days=n) for n in range(streak.days)} <= known
            assert streak.last - timedelta(days=streak.days) not in known
    assert longest.days >= current.days
    assert (longest.days > 0) == bool(days)
    assert (current.days > 0) == bool({TODAY, TODAY - timedelta(days=1)} & known)


def test_today_without_plays_ends_no_streak() -> None:
    assert find_current_streak([date(2026, 11, 28), date(2026, 11, 29)], TODAY) == Streak(2, date(2026, 11, 29))


@given(st.dictionaries(st.integers(0, 400), st.integers(1, 500)), st.integers(1, 53))
def test_a_calendar_has_each_day_once(found: dict[int, int], weeks: int) -> None:
    plays = {TODAY - timedelta(days=n): count for n, count in found.items()}
    calendar = make_calendar(plays, TODAY, weeks)
    cells = [cell for week in calendar for cell in week]
    assert len(calendar) == weeks
    assert all(week[0].day.weekday() == 0 for week in calendar)
    assert [cell.day for cell in cells] == [cells[0].day + timedelta(days=n) for n in range(len(cells))]
    assert cells[-1].day == TODAY
    for cell in cells:
        assert cell.plays == plays.get(cell.day, 0)
        assert (cell.level > 0) == (cell.plays > 0)
        assert cell.level <= LEVELS
    ranked = sorted(cells, key=lambda cell: cell.plays)
    assert [cell.level for cell in ranked] == sorted(cell.level for cell in cells)


def test_sums_contain_months_without_additions() -> None:
    months = {date(2025, 12, 1): 2, date(2026, 2, 1): 3}
    expected = [(date(2025, 12, 1), 2), (date(2026, 1, 1), 2), (date(2026, 2, 1), 5), (date(2026, 3, 1), 5)]
    assert cumulate(months, date(2026, 3, 30)) == expected
    assert cumulate({}, TODAY) == []
