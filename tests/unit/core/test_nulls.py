"""What is missing may be behind a null row: as many as there are new ones, and no more."""

from collections.abc import Sequence
from datetime import UTC, datetime

from spotisync.core.nulls import UNDATED, Nulls, Row, behind, grown, removable, unheard

DAY = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = datetime(2026, 1, 2, tzinfo=UTC)


def undated(rows: Sequence[Row], met: int, last: Nulls) -> tuple[set[str], Nulls]:
    hidden, now = behind(rows, {UNDATED: met}, {UNDATED: last})
    return hidden, now.get(UNDATED, Nulls())


def test_null_rows_that_were_always_there_hide_nothing() -> None:
    assert undated([Row("a")], 2, Nulls(2, 2)) == (set(), Nulls(2, 2))
    assert unheard({UNDATED: 2}) == {UNDATED: Nulls(2, 2)}


def test_a_new_null_row_may_hide_what_is_missing_since() -> None:
    assert undated([Row("a")], 3, Nulls(2, 2)) == ({"a"}, Nulls(3, 2))


def test_a_new_null_row_hides_nothing_when_nothing_is_missing() -> None:
    assert undated([], 3, Nulls(2, 2)) == (set(), Nulls(3, 3))


def test_when_more_are_missing_than_can_be_hidden_all_are_kept() -> None:
    assert undated([Row("a"), Row("b")], 1, Nulls()) == ({"a", "b"}, Nulls(1, 0))


def test_what_is_hidden_stays_so_and_what_goes_later_is_gone() -> None:
    assert undated([Row("a", hidden=True), Row("b")], 1, Nulls(1, 0)) == ({"a"}, Nulls(1, 0))


def test_what_is_hidden_is_gone_when_its_null_row_is() -> None:
    assert undated([Row("a", hidden=True)], 0, Nulls(1, 0)) == (set(), Nulls())


def test_one_comes_back_as_another_one_goes_into_hiding() -> None:
    rows = [Row("a", hidden=True, shown=True), Row("b")]
    assert undated(rows, 1, Nulls(1, 0)) == ({"b"}, Nulls(1, 0))


def test_one_comes_back_as_another_one_is_removed() -> None:
    rows = [Row("a", hidden=True, shown=True), Row("b")]
    assert undated(rows, 0, Nulls(1, 0)) == (set(), Nulls())


def test_a_date_names_what_is_hidden() -> None:
    rows = [Row("a", added_at=DAY), Row("b", added_at=OTHER)]
    assert behind(rows, {DAY: 1}, {}) == ({"a"}, {DAY: Nulls(1, 0)})


def test_a_null_row_without_a_date_hides_what_a_dated_one_does_not() -> None:
    rows = [Row("a", added_at=DAY), Row("b", added_at=OTHER)]
    assert behind(rows, {DAY: 1, UNDATED: 1}, {}) == ({"a", "b"}, {DAY: Nulls(1, 0), UNDATED: Nulls(1, 0)})


def test_a_null_row_met_twice_is_not_one_that_hides_nothing() -> None:
    hidden, now = behind([Row("a", added_at=DAY)], {DAY: 2}, {})
    assert (hidden, now) == ({"a"}, {DAY: Nulls(2, 0)})
    assert behind([Row("a", hidden=True, added_at=DAY)], {DAY: 1}, now) == ({"a"}, {DAY: Nulls(1, 0)})


def test_where_there_are_new_null_rows() -> None:
    assert grown({DAY: 2, OTHER: 1}, {DAY: Nulls(1, 1), OTHER: Nulls(1, 0)}) == [DAY]


def test_what_is_shown_is_not_missing() -> None:
    assert not removable([Row("a", hidden=True, shown=True), Row("b")], {"b"})
    assert removable([Row("b")], set())
