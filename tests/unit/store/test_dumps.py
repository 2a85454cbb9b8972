"""Rows are serialised as the standard library does it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.rows import ListingRow
from spotisync.store.bulk import dumps

OFFSETS = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=-30))])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.dates()
    | st.datetimes(timezones=OFFSETS)
    | st.uuids()
)
NESTED = VALUES | st.lists(VALUES, max_size=3) | st.lists(VALUES, max_size=3).map(tuple)
ROWS = st.lists(st.dictionaries(st.text(max_size=5) | st.integers(), NESTED, max_size=4), max_size=4)


def plain(value: object) -> str:
    return str(value) if isinstance(value, UUID) else value.isoformat()  # type: ignore[attr-defined]


@given(ROWS)
def test_rows_are_those_of_the_standard_library(rows: list[dict[str, object]]) -> None:
    assert json.loads(dumps(rows)) == json.loads(json.dumps(rows, default=plain))


def test_rows_can_be_any_mapping() -> None:
    assert dumps([MappingProxyType({"id": "a"})]) == '[{"id":"a"}]'


@pytest.mark.parametrize("value", [{1}, b"x", ListingRow("a"), object()])
def test_other_values_are_rejected(value: object) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        dumps([{"id": datetime(2024, 1, 1, tzinfo=UTC), "value": value}])
