"""The table contains every legal transition; all others are rejected."""

from itertools import product
from typing import Literal, get_args

import pytest

from spotisync.core.states import (
    MOVES,
    OVER,
    PHASES,
    UNFINISHED,
    Status,
    allowed_sources,
    check_move,
    later_phases,
    next_phase,
)
from spotisync.errors import IllegalMove

STATUSES: tuple[Status, ...] = get_args(Status)


@pytest.mark.parametrize(("current", "to"), list(product(STATUSES, ("in_progress", "cancelled"))))
def test_a_transition_is_in_the_table_or_is_rejected_with_a_message(
    current: Status, to: Literal["in_progress", "cancelled"]
) -> None:
    if to in MOVES[current]:
        check_move(7, current, to)
        return
    with pytest.raises(IllegalMove, match=r"Run 7 .+, so it can't be (resumed|cancelled)\."):
        check_move(7, current, to)


@pytest.mark.parametrize("to", STATUSES)
def test_allowed_sources_invert_the_table(to: Status) -> None:
    assert set(allowed_sources(to)) == {current for current in STATUSES if to in MOVES[current]}


def test_every_status_is_either_unfinished_or_final() -> None:
    assert sorted(UNFINISHED + OVER) == sorted(STATUSES)
    assert set(MOVES) == set(STATUSES)


def test_no_status_moves_to_itself_and_success_is_final() -> None:
    assert all(current not in targets for current, targets in MOVES.items())
    assert MOVES["success"] == ()
    assert allowed_sources("success") == ("in_progress",)


def test_every_unfinished_status_can_be_cancelled_and_can_fail() -> None:
    assert set(allowed_sources("cancelled")) == set(UNFINISHED)
    assert set(allowed_sources("failed")) == set(UNFINISHED)


def test_phases_run_in_order_until_finish() -> None:
    assert [next_phase(phase) for phase in PHASES] == [*PHASES[1:], "finish"]
    assert later_phases("artists") == ("albums", "playlists")
    assert later_phases("finish") == ()
