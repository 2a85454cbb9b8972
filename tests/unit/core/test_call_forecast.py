"""The calls of the next 24 hours."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.call_forecast import (
    HOUR,
    HOURS,
    ScheduledWork,
    count_due,
    divide_into_pages,
    fit_calls,
    forecast_calls,
)
from spotisync.core.rhythm import Rhythm
from spotisync.core.schedule import Cron, Every, Kind, Rule

NOW = datetime(2026, 11, 29, 22, 40, tzinfo=UTC)
QUIET = Rhythm(0, None, None, NOW - timedelta(days=30))
CALLS = st.lists(st.integers(0, 50), min_size=HOURS, max_size=HOURS)


def work(
    rule: Rule,
    due_in: timedelta = HOUR / 2,
    *,
    kind: Kind = "incremental",
    rhythm: Rhythm | None = None,
    **calls: float,
) -> ScheduledWork:
    return ScheduledWork(kind, 1, rule, NOW + due_in, rhythm, calls)


def test_frequent_work_is_counted_at_its_due_times() -> None:
    counts = count_due(work(Every(1800), timedelta(minutes=10)), NOW)
    assert counts == [2] * HOURS
    late = count_due(work(Every(1800), timedelta(hours=3, minutes=45)), NOW)
    assert late[:5] == [0, 0, 0, 1, 2]


def test_overdue_work_is_counted_from_now() -> None:
    assert count_due(work(Every(600), -timedelta(hours=5)), NOW) == [6] * HOURS


def test_a_quiet_account_is_read_every_three_hours() -> None:
    counts = count_due(work(Every(1800), rhythm=QUIET), NOW)
    assert sum(counts) == 8
    assert counts[:7] == [1, 0, 0, 1, 0, 0, 1]


def test_an_idle_account_is_read_as_seldom_as_its_fastest_plays_allow() -> None:
    assert sum(count_due(work(Every(600), kind="playback", rhythm=QUIET), NOW)) == pytest.approx(86_400 / 9_000, abs=1)


def test_a_full_sync_is_counted_by_its_cron() -> None:
    nightly = work(Cron("0 4 * * *", "UTC"), timedelta(hours=5, minutes=20), kind="full")
    assert [hour for hour, number in enumerate(count_due(nightly, NOW)) if number] == [5]
    weekly = work(Cron("0 4 * * 0", "UTC"), timedelta(days=6), kind="full")
    assert sum(count_due(weekly, NOW)) == 0


def test_calls_are_those_of_all_accounts_by_family() -> None:
    alice = work(Every(1800), library=4, playlists=2)
    bob = work(Every(600), kind="playback", player=1)
    found = forecast_calls([alice, alice, bob], NOW)
    assert {family: sum(hours) for family, hours in found.items()} == {
        "library": 2 * 4 * 47,
        "playlists": 2 * 2 * 47,
        "player": 141,
    }


def test_parts_of_calls_do_not_vanish() -> None:
    found = forecast_calls([work(Every(3600), library=0.25)], NOW)["library"]
    assert sum(found) == 6
    assert set(found) == {0, 1}


def test_nothing_is_expected_until_the_end_of_a_cooldown() -> None:
    found = forecast_calls([work(Every(1800), library=1)], NOW, {"library": NOW + timedelta(hours=3, minutes=10)})
    assert found["library"][:5] == [0, 0, 0, 2, 2]


@given(
    st.integers(60, 21_600),
    st.timedeltas(-HOUR, timedelta(hours=30)),
    st.one_of(st.none(), st.builds(Rhythm, st.integers(0, 2**24 - 1), st.none(), st.none(), st.just(NOW - HOUR * 99))),
)
def test_work_is_due_as_often_as_its_intervals_fit(seconds: int, due_in: timedelta, rhythm: Rhythm | None) -> None:
    counts = count_due(work(Every(seconds), due_in, rhythm=rhythm), NOW)
    left = max(0.0, (HOURS * HOUR - max(due_in, timedelta())).total_seconds())
    shortest = seconds if rhythm is None or rhythm.busy_hours else min(6 * seconds, max(seconds, 21_600))
    assert len(counts) == HOURS
    assert sum(counts) <= left / min(seconds, shortest) + 1
    assert sum(counts) >= left / max(6 * seconds, shortest) - 1


@given(st.integers(1, 700), CALLS, CALLS)
def test_calls_that_fit_never_exceed_the_allowance_by_themselves(
    allowance: int, past: list[int], wanted: list[int]
) -> None:
    coming, short = fit_calls(allowance, past, wanted)
    spent = sum(past)
    for hour in range(HOURS):
        spent -= past[hour]
        assert 0 <= coming[hour] <= wanted[hour]
        assert spent + coming[hour] <= max(allowance, spent)
        spent += coming[hour]
    assert (short is None) == (coming == wanted)


def test_pages_are_counted_list_by_list() -> None:
    assert divide_into_pages({"library": (101, 0, 50), "playlists": (7,)}, 50) == {"library": 5, "playlists": 1}
