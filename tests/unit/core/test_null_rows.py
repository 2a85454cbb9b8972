"""A missing row may be hidden behind a null row; new null rows can hide at most their own number."""

from collections.abc import Sequence
from datetime import UTC, datetime

from spotisync.core.null_rows import (
    UNDATED,
    NullCount,
    SuspectRow,
    dates_with_new_nulls,
    find_hidden,
    first_count,
    has_removable,
)

DAY = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = datetime(2026, 1, 2, tzinfo=UTC)


def undated(rows: Sequence[SuspectRow], met: int, last: NullCount) -> tuple[set[str], NullCount]:
    hidden, now = find_hidden(rows, {UNDATED: met}, {UNDATED: last})
    return hidden, now.get(UNDATED, NullCount())


def test_null_rows_that_were_there_before_hide_nothing() -> None:
    assert undated([SuspectRow("a")], 2, NullCount(2, 2)) == (set(), NullCount(2, 2))
    assert first_count({UNDATED: 2}) == {UNDATED: NullCount(2, 2)}


def test_a_new_null_row_may_hide_a_row_missing_since_then() -> None:
    assert undated([SuspectRow("a")], 3, NullCount(2, 2)) == ({"a"}, NullCount(3, 2))


def test_a_new_null_row_hides_nothing_when_nothing_is_missing() -> None:
    assert undated([], 3, NullCount(2, 2)) == (set(), NullCount(3, 3))


def test_keeps_all_missing_rows_when_null_rows_could_hide_only_some() -> None:
    assert undated([SuspectRow("a"), SuspectRow("b")], 1, NullCount()) == ({"a", "b"}, NullCount(1, 0))


def test_a_hidden_row_stays_hidden_and_a_later_removal_counts() -> None:
    assert undated([SuspectRow("a", hidden=True), SuspectRow("b")], 1, NullCount(1, 0)) == ({"a"}, NullCount(1, 0))


def test_a_hidden_row_is_removed_when_its_null_row_disappears() -> None:
    assert undated([SuspectRow("a", hidden=True)], 0, NullCount(1, 0)) == (set(), NullCount())


def test_one_row_reappears_while_another_becomes_hidden() -> None:
    rows = [SuspectRow("a", hidden=True, shown=True), SuspectRow("b")]
    assert undated(rows, 1, NullCount(1, 0)) == ({"b"}, NullCount(1, 0))


def test_one_row_reappears_while_another_is_removed() -> None:
    rows = [SuspectRow("a", hidden=True, shown=True), SuspectRow("b")]
    assert undated(rows, 0, NullCount(1, 0)) == (set(), NullCount())


def test_the_date_of_a_null_row_identifies_the_hidden_row() -> None:
    rows = [SuspectRow("a", added_at=DAY), SuspectRow("b", added_at=OTHER)]
    assert find_hidden(rows, {DAY: 1}, {}) == ({"a"}, {DAY: NullCount(1, 0)})


def test_an_undated_null_row_hides_what_no_dated_one_hides() -> None:
    rows = [SuspectRow("a", added_at=DAY), SuspectRow("b", added_at=OTHER)]
    assert find_hidden(rows, {DAY: 1, UNDATED: 1}, {}) == ({"a", "b"}, {DAY: NullCount(1, 0), UNDATED: NullCount(1, 0)})


def test_a_null_row_met_twice_does_not_count_as_hiding_nothing() -> None:
    hidden, now = find_hidden([SuspectRow("a", added_at=DAY)], {DAY: 2}, {})
    assert (hidden, now) == ({"a"}, {DAY: NullCount(2, 0)})
    assert find_hidden([SuspectRow("a", hidden=True, added_at=DAY)], {DAY: 1}, now) == ({"a"}, {DAY: NullCount(1, 0)})


def test_lists_the_dates_with_new_null_rows() -> None:
    assert dates_with_new_nulls({DAY: 2, OTHER: 1}, {DAY: NullCount(1, 1), OTHER: NullCount(1, 0)}) == [DAY]


def test_a_visible_row_is_not_missing() -> None:
    assert not has_removable([SuspectRow("a", hidden=True, shown=True), SuspectRow("b")], {"b"})
    assert has_removable([SuspectRow("b")], set())
