"""The schedules of random faults, and what the checks of a history find."""

from collections import defaultdict
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from proof import chaos_schedule
from proof.chaos_checks import Happened, _check_events, check_cooldowns
from proof.chaos_faults import Hands, name_method
from proof.chaos_schedule import FEWEST, KINDS, MOST, SECONDS, Fault


def test_a_seed_repeats_its_schedule() -> None:
    assert chaos_schedule.make(7) == chaos_schedule.make(7)
    assert chaos_schedule.make(7) != chaos_schedule.make(8)


def test_hundred_schedules_have_every_kind_of_fault() -> None:
    made = [chaos_schedule.make(seed) for seed in range(100)]
    assert {fault.kind for each in made for fault in each.faults} == set(KINDS)
    assert sum(len(each.faults) for each in made) > 2_500
    for each in made:
        assert FEWEST <= len(each.faults) <= MOST
        assert all(0 < fault.at <= SECONDS for fault in each.faults)
        assert 300 <= each.tracks <= 1_500


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_fault_can_be_applied(kind: str) -> None:
    assert callable(getattr(Hands, name_method(kind)))


def faults(count: int) -> tuple[Fault, ...]:
    return tuple(Fault(float(number), "edit") for number in range(count))


@pytest.mark.parametrize("needed", [{0}, {29}, {3, 17}, {4, 5, 22}])
def test_shrinks_to_the_faults_that_are_needed(needed: set[int]) -> None:
    tried: list[int] = []

    def fails(kept: tuple[Fault, ...]) -> bool:
        tried.append(len(kept))
        return needed <= {int(each.at) for each in kept}

    smallest = chaos_schedule.shrink(faults(30), fails)
    assert {int(each.at) for each in smallest} == needed
    assert len(tried) < 100


def test_stops_shrinking_when_the_time_is_over() -> None:
    left = [True, None]
    assert len(chaos_schedule.shrink(faults(30), lambda _: left.pop(0))) == 15


def history(*events: str) -> list[str]:
    return list(_check_events([event(each) for each in events]))


def event(text: str) -> Any:
    kind, _, batch = text.partition(" ")
    phase, _, seq = batch.partition(" ")
    return SimpleNamespace(kind=kind, phase=phase or None, seq=int(seq) if seq else None)


def test_a_possible_history_has_no_problem() -> None:
    assert not history("begun", "batch tracks 0", "lost tracks 1", "batch tracks 1", "batch artists 0", "success")
    assert not history("begun", "batch tracks 0", "cancelled", "resumed", "batch tracks 1", "failed")


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        (("batch tracks 0", "batch tracks 0"), "twice"),
        (("batch tracks 1", "batch tracks 0"), "after"),
        (("batch artists 0", "batch tracks 1"), "after"),
        (("batch tracks 0", "cancelled", "batch tracks 1"), "after its end"),
        (("success", "success"), "after its end"),
        (("begun", "resumed"), "not over"),
    ],
)
def test_an_impossible_history_is_found(events: tuple[str, ...], problem: str) -> None:
    (found,) = history(*events)
    assert problem in found


def requests_in_cooldowns(*times: float, held: tuple[Happened, ...] = ()) -> list[str]:
    """A cooldown at 100, extended at 101, cleared at 110; another one at 120 until 130."""
    changes = [
        SimpleNamespace(family="*", at=moment(at), until=moment(until))
        for at, until in ((100, 125), (101, 126), (110, None), (120, 130))
    ]
    stage: Any = SimpleNamespace(sql=lambda _: changes)
    requests = [{"time": time, "family": "library", "path": "/v1/me/tracks"} for time in times]
    return list(check_cooldowns(stage, requests, held, defaultdict(float)))


def moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def test_a_request_in_a_cooldown_is_found() -> None:
    assert not requests_in_cooldowns(99.0, 100.9, 110.1, 119.0, 120.9, 131.0)
    assert requests_in_cooldowns(105.0)
    assert requests_in_cooldowns(125.0)


def test_a_request_of_a_frozen_process_is_excused() -> None:
    assert not requests_in_cooldowns(125.0, held=(Happened("freeze worker", 119.0, 124.5),))
    assert requests_in_cooldowns(125.0, held=(Happened("freeze worker", 119.0, 123.0),))
