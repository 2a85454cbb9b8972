"""Due times of schedules: any cron expression, any time zone, any change of the clocks."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given
from hypothesis import strategies as st

from spotisync.core import schedule
from spotisync.core.schedule import Cron, Every, Rule

# Zones that change by an hour, by half an hour, at midnight, backwards in winter, never; and one with a skipped day.
ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Europe/Dublin", "Asia/Kolkata",
    "Africa/Cairo", "America/Sao_Paulo", "UTC", "Asia/Kathmandu", "Pacific/Apia",
)  # fmt: skip
zones = st.sampled_from(ZONES)
BEGIN = datetime(2011, 1, 1, tzinfo=UTC)
moments = st.integers(0, 20 * 365 * 86_400).map(lambda seconds: BEGIN + timedelta(seconds=seconds))


def changes(zone: str) -> list[datetime]:
    """The days on which the clocks of the zone changed."""
    days = (BEGIN + timedelta(days=n) for n in range(365 * 14))
    offsets = [(day, day.astimezone(ZoneInfo(zone)).utcoffset()) for day in days]
    return [day for (day, before), (_, after) in pairwise(offsets) if before != after]


CHANGES = {zone: changes(zone) or [BEGIN] for zone in ZONES}


@st.composite
def times_of_change(draw: st.DrawFn, zone: str) -> datetime:
    """Draw any time, or one within two days of a change of the clocks."""
    near = draw(st.sampled_from(CHANGES[zone])) + timedelta(minutes=draw(st.integers(-2880, 2880)))
    return draw(st.sampled_from((near, draw(moments))))


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(st.integers(low, high), min_size=1, max_size=3).map(lambda found: ",".join(map(str, found)))


def starred(low: int, high: int) -> st.SearchStrategy[str]:
    steps = st.integers(1, high).map(lambda step: f"*/{step}")
    ranges = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda two: "{}-{}".format(*sorted(two)))
    return st.one_of(st.just("*"), steps, ranges, numbers(low, high))


# Times of day that people commonly choose.
daily = st.tuples(numbers(0, 59), numbers(0, 23), st.just("*"), st.just("*"), starred(0, 7)).map(" ".join)
anything = st.tuples(starred(0, 59), starred(0, 23), starred(1, 28), starred(1, 12), starred(0, 7)).map(" ".join)


def fired(rule: Rule, begin: datetime, end: datetime, account_id: int = 1) -> list[datetime]:
    times, now = [], begin
    while (now := schedule.next_time(rule, now, account_id)) <= end:
        times.append(now)
    return times


# ---- cron -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "comes"),
    [
        (date(2025, 3, 29), "2025-03-29 02:30:00+01:00"),
        (date(2025, 3, 30), "2025-03-30 03:00:00+02:00"),  # from 2:00 to 3:00: it does not exist
        (date(2025, 10, 26), "2025-10-26 02:30:00+02:00"),  # from 3:00 back to 2:00: it exists twice
    ],
)
@pytest.mark.parametrize("expression", ["30 2 * * *", "15,30 2 * * *"])
def test_half_past_two_fires_once_a_day_across_clock_changes(day: date, comes: str, expression: str) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime(day.year, day.month, day.day, tzinfo=berlin).astimezone(UTC)
    found = [str(each.astimezone(berlin)) for each in fired(Cron(expression, "Europe/Berlin"), begin, begin + DAY)]
    assert found[-1] == comes
    assert len(found) == len(set(found)) == (1 if "," not in expression or "03:00" in comes else 2)


DAY = timedelta(hours=23)


@given(st.data(), zones, st.integers(0, 23), st.integers(0, 59))
def test_a_daily_time_fires_once_a_day_across_clock_changes(
    data: st.DataObject, zone: str, hour: int, minute: int
) -> None:
    rule = Cron(f"{minute} {hour} * * *", zone)
    first = schedule.next_time(rule, data.draw(times_of_change(zone)), 1)
    found = [first, *fired(rule, first, first + timedelta(days=6))]
    for before, after in pairwise(found):
        assert days_between(wanted(before, zone, hour, minute), wanted(after, zone, hour, minute), zone) == 1


def days_between(first: date, last: date, zone: str) -> int:
    """Count the days of the zone: a day that it skipped, such as 2011-12-30 in Apia, has no midnight of its own."""
    days = [first + timedelta(days=number) for number in range(1, (last - first).days)]
    noons = [datetime.combine(day, time(12), ZoneInfo(zone)) for day in days]
    existing = [noon for noon in noons if noon.astimezone(UTC).astimezone(ZoneInfo(zone)).date() == noon.date()]
    return len(existing) + 1


def wanted(found: datetime, zone: str, hour: int, minute: int) -> date:
    """The day to which a due time belongs; a skipped time fires right after the gap."""
    local = found.astimezone(ZoneInfo(zone))
    if (local.hour, local.minute) == (hour, minute):
        return local.date()
    just_before = (found - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    skipped = just_before.replace(tzinfo=None)
    assert (local.replace(tzinfo=None) - skipped) > timedelta(seconds=1)
    day = skipped.date()
    while datetime.combine(day, time(hour, minute)) <= skipped:
        day += timedelta(days=1)
    return day


@given(st.data(), zones, daily, st.integers(1, 40))
def test_two_clocks_find_the_same_due_times(data: st.DataObject, zone: str, expression: str, account_id: int) -> None:
    """At any two moments the same due times are found: none is skipped, none is added."""
    rule, earlier = Cron(expression, zone), data.draw(times_of_change(zone))
    later = earlier + timedelta(seconds=data.draw(st.integers(0, 3 * 86_400)))
    first, second = (schedule.next_time(rule, each, account_id) for each in (earlier, later))
    assert first > earlier
    assert second == first if first > later else second > later
    assert second in {first, *fired(rule, first, second, account_id)}


@given(st.data(), zones, anything)
def test_each_due_time_is_taken_once_at_any_clock_readings(data: st.DataObject, zone: str, expression: str) -> None:
    """Ticks at any moments in any order, as from two workers with different clocks."""
    assume(next(CronSim(expression, BEGIN), None))
    rule, now = Cron(expression, zone), data.draw(times_of_change(zone))
    due, taken = schedule.next_time(rule, now, 1), []
    for seconds in data.draw(st.lists(st.integers(-600, 90_000), min_size=1, max_size=12)):
        now += timedelta(seconds=seconds)
        if due <= now:
            taken.append(due)
            due = schedule.next_time(rule, now, 1)
            assert due > now
    assert taken == sorted(set(taken))


@given(zones, anything, moments)
def test_without_clock_changes_the_next_time_matches_the_expression(zone: str, expression: str, now: datetime) -> None:
    """Without clock changes and for the first account; cronsim itself is not tested."""
    found = next(CronSim(expression, now), None)
    assume(found)
    rule = Cron(expression, "UTC")
    assert schedule.next_time(rule, now, 1) == found
    for account_id in (2, 3, 9):
        later = timedelta(seconds=schedule.cron_delay(account_id))
        assert schedule.next_time(rule, now + later, account_id) == schedule.next_time(rule, now, 1) + later


def test_sunday_at_four_uses_the_configured_time_zone() -> None:
    now = datetime(2025, 2, 26, 12, tzinfo=UTC)
    assert schedule.next_time(Cron("0 4 * * 0", "Europe/Berlin"), now, 1) == datetime(2025, 3, 2, 3, tzinfo=UTC)
    assert schedule.next_time(Cron("0 4 * * 0", "Asia/Tokyo"), now, 1) == datetime(2025, 3, 1, 19, tzinfo=UTC)


# ---- intervals ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 200_000), moments, st.integers(1, 60))
def test_an_interval_has_fixed_steps_and_never_fires_too_early(seconds: int, now: datetime, account_id: int) -> None:
    rule, step = Every(seconds), timedelta(seconds=seconds)
    found = schedule.next_time(rule, now, account_id)
    assert step / 2 <= found - now <= step * 1.5
    assert schedule.next_time(rule, found, account_id) == found + step
    assert schedule.next_time(rule, found + step * 0.4, account_id) == found + step


@given(st.integers(60, 86_400), moments, st.integers(1, 500))
def test_a_missed_interval_is_made_up_once_after_any_downtime(seconds: int, now: datetime, missed: int) -> None:
    due = schedule.next_time(Every(seconds), now, 1)
    back = due + timedelta(seconds=seconds * missed)
    assert schedule.next_time(Every(seconds), back, 1) > back


# ---- spread ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accounts", [1, 2, 10, 64])
@pytest.mark.parametrize("rule", [Every(1800), Cron("0 4 * * *", "UTC")])
def test_due_times_of_accounts_are_spread_over_the_interval(accounts: int, rule: Rule) -> None:
    now = datetime(2025, 3, 1, tzinfo=UTC)
    times = sorted(schedule.next_time(rule, now, id_) for id_ in range(1, accounts + 1))
    period = 1800 if isinstance(rule, Every) else schedule.CRON_SPREAD
    apart = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert min(apart, default=period) >= period / accounts / 2 - 1
    assert (times[-1] - times[0]).total_seconds() < period


@pytest.mark.parametrize(
    ("rule", "most"), [(Every(1800), 6), (Every(600), 17), (Cron("0 4 * * 0", "UTC"), 3), (Cron("0 * * * *", "UTC"), 6)]
)
def test_ten_thousand_accounts_never_begin_at_once(rule: Rule, most: float) -> None:
    """`most`: accounts a second, in any minute."""
    now = datetime(2025, 3, 1, tzinfo=UTC)
    minutes = Counter(int(schedule.next_time(rule, now, id_).timestamp()) // 60 for id_ in range(1, 10_001))
    assert max(minutes.values()) / 60 <= most


@given(st.integers(-5, 10**12))
def test_the_position_in_an_interval_is_a_fraction(account_id: int) -> None:
    assert 0 <= schedule.position_in_interval(account_id) < 1


def test_the_first_account_fires_exactly_when_the_expression_says() -> None:
    assert [schedule.position_in_interval(id_) for id_ in (1, 2, 3, 4, 5)] == [0, 1 / 2, 1 / 4, 3 / 4, 1 / 8]


# ---- lengthened intervals --------------------------------------------------------------------------------------------


@given(st.integers(1, 200_000), moments, st.integers(1, 60), st.floats(1, 20))
def test_a_lengthened_interval_is_kept_to_a_tenth(seconds: int, now: datetime, account_id: int, factor: float) -> None:
    rule = Every(seconds)
    found = schedule.next_time(rule, now, account_id, lambda _: factor * seconds)
    wanted = min(factor * seconds, schedule.longest(seconds))
    if wanted <= seconds:
        assert found == schedule.next_time(rule, now, account_id)
    else:
        assert wanted - seconds / 10 < (found - now).total_seconds() <= max(wanted, 1.5 * seconds) + 1e-5


def test_an_interval_ends_early_when_its_hour_asks_for_a_shorter_one() -> None:
    """At night every three hours, from six o'clock on every half hour; the second account 15 minutes later."""
    now = datetime(2025, 3, 1, 5, 0, 1, tzinfo=UTC)

    def wait(at: datetime) -> float:
        return 1800 if at.hour >= 6 else 10_800

    found = [schedule.next_time(Every(1800), now, account_id, wait) for account_id in (1, 2)]
    assert found == [datetime(2025, 3, 1, 6, minute, tzinfo=UTC) for minute in (0, 15)]
    assert schedule.next_time(Every(1800), now, 1, lambda _: 10_800) == datetime(2025, 3, 1, 8, tzinfo=UTC)


# ---- limits ---------------------------------------------------------------------------------------------------------

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
AT = {minutes: NOON + timedelta(minutes=minutes) for minutes in (2, 5, 9)}


@pytest.mark.parametrize(
    ("blocks", "free"),
    [
        ({}, None),
        ({"library": 5}, None),
        ({"artists": 5, "albums": 5, "player": 5}, None),
        ({"library": 5, "playlists": 2}, 2),
        ({"*": 5}, 5),
        ({"*": 5, "library": 2}, 5),
        ({"*": 2, "library": 9, "playlists": 5}, 5),
        ({"*": 2, "library": 9}, 2),
    ],
)
def test_an_incremental_waits_while_all_its_families_are_blocked(blocks: dict[str, int], free: int | None) -> None:
    found = schedule.unblocked_at({family: AT[minutes] for family, minutes in blocks.items()}, ("library", "playlists"))
    assert found == (AT[free] if free else None)


def test_a_deferred_run_is_due_at_the_end_of_the_limit_or_its_next_time() -> None:
    assert schedule.deferred_time(AT[2], AT[9], 1) == AT[2]
    assert schedule.deferred_time(AT[9], AT[2], 1) == AT[2]
    assert schedule.deferred_time(AT[2], AT[9], 2) == AT[2] + timedelta(seconds=30)


# ---- formatting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2025, 3, 1, 12, 32, tzinfo=UTC), "13:32"),
        (datetime(2025, 3, 1, 23, 30, tzinfo=UTC), "Sunday 00:30"),
        (datetime(2025, 3, 8, 3, tzinfo=UTC), "8 March 04:00"),
        (datetime(2025, 2, 27, 3, tzinfo=UTC), "27 February 04:00"),
        (datetime(2026, 3, 8, 3, tzinfo=UTC), "8 March 2026 04:00"),
    ],
)
def test_formats_a_time_of_day(moment: datetime, text: str) -> None:
    assert schedule.format_clock(moment, NOON, "Europe/Berlin") == text
