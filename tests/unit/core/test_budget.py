"""Budgets: what a refusal teaches, who may spend what is left, and when more of it is free."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import budget
from spotisync.core.budget import Ceiling, FamilyBudget, Purpose

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
counts = st.integers(0, 100_000)


@given(counts, counts | st.none())
def test_a_refusal_never_raises_the_estimate(spent: int, current: int | None) -> None:
    found = budget.lower_estimate(spent, current)
    assert found >= budget.LOWEST
    assert found <= max(spent, budget.LOWEST)
    assert current is None or found <= max(current, budget.LOWEST)


@given(st.integers(50, 100_000), st.integers(0, 60), st.integers(0, 86_399))
def test_an_estimate_is_held_for_a_week_and_then_grows(estimate: int, days: int, seconds: int) -> None:
    found = budget.grow_estimate(estimate, timedelta(days=days, seconds=seconds))
    assert found == int(estimate * 1.1 ** max(0, days - 7))


@pytest.mark.parametrize(
    ("known", "learned", "spent", "accounts", "found"),
    [
        (None, None, 0, 1, Ceiling(600, "assumed")),
        (None, None, 599, 25, Ceiling(600, "assumed")),
        (None, None, 600, 1, None),  # the assumption is refuted
        (None, None, 0, 26, None),  # no app in development mode has so many users
        (None, 480, 900, 1, Ceiling(480, "learned")),
        (900, None, 0, 100, Ceiling(900, "set")),
        (900, 480, 0, 1, Ceiling(480, "learned")),
        (300, 480, 0, 1, Ceiling(300, "set")),
    ],
)
def test_finds_the_ceiling(
    known: int | None, learned: int | None, spent: int, accounts: int, found: Ceiling | None
) -> None:
    assert budget.find_ceiling(known, learned, spent, accounts) == found


def test_whoever_comes_later_leaves_room_for_those_before() -> None:
    order: tuple[Purpose, ...] = ("playback", "incremental", "full", "look-ups", "refresh")
    allowed = [Ceiling(600, "learned").get_allowance(purpose) for purpose in order]
    assert allowed == sorted(allowed, reverse=True) == [600, 540, 480, 420, 300]


@given(counts, st.integers(1, 1000), st.sampled_from(("set", "learned")), st.sampled_from(sorted(budget.SHARES)))
def test_a_purpose_that_fits_stays_within_its_allowance(
    spent: int, calls: int, source: budget.Source, purpose: Purpose
) -> None:
    ceiling = Ceiling(600, source)
    excess = FamilyBudget("library", spent, ceiling).find_excess(purpose, calls)
    if purpose == "asked":
        assert excess == 0
    else:
        assert excess == max(0, spent + calls - ceiling.get_allowance(purpose))


@given(counts, st.integers(1, 1000), st.sampled_from(sorted(budget.SHARES)))
def test_an_unknown_or_assumed_ceiling_refuses_nothing(spent: int, calls: int, purpose: Purpose) -> None:
    for ceiling in (None, Ceiling(600, "assumed")):
        assert FamilyBudget("library", spent, ceiling).find_excess(purpose, calls) == 0


@given(st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 50)), max_size=30), st.integers(1, 500))
def test_at_the_free_time_enough_calls_have_left_the_window(rows: list[tuple[int, int]], excess: int) -> None:
    minutes = sorted((NOON + timedelta(minutes=minute), calls) for minute, calls in dict(rows).items())
    found = budget.find_free_time(minutes, excess)
    if found is None:
        assert sum(calls for _, calls in minutes) < excess
        return

    def left(at: datetime) -> int:
        return sum(calls for minute, calls in minutes if minute + DAY + timedelta(minutes=1) <= at)

    assert left(found) >= excess > left(found - timedelta(minutes=1))


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_fewer_calls_are_left_the_longer_are_the_intervals(one: float, other: float) -> None:
    scarce, plenty = sorted((one, other))
    assert 8 >= budget.stretch_factor(scarce) >= budget.stretch_factor(plenty) >= 1
    assert budget.stretch_factor(None) == 1
    assert [budget.stretch_factor(left) for left in (1, 0.25, 0.125, 0.0625, 0)] == [1, 1, 2, 4, 8]


def test_the_scarcest_family_counts() -> None:
    plenty, scarce = (
        FamilyBudget("library", 10, Ceiling(600, "set")),
        FamilyBudget("playlists", 500, Ceiling(600, "set")),
    )
    assert budget.find_scarcest([plenty, scarce, FamilyBudget("player", 10_000, None)]) is scarce
    assert budget.find_scarcest([FamilyBudget("player", 10_000, None)]) is None
