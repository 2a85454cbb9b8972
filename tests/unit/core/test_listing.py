"""Saved albums and followed artists: parsing a page, continuing a read, proving removals."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import listing, parse
from spotisync.core.cursors import SavedList
from spotisync.core.listing import LastRead
from spotisync.core.null_rows import NullCount
from spotisync.core.parse import Unreadable
from spotisync.core.phases import Answer, Listed, SavedRead, Step
from spotisync.core.walk import Walk
from spotisync.errors import Refused

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def artists(*ids: str | None, total: int, after: str | None = None, **more: Any) -> dict[str, Any]:
    items = [id_ and {"id": id_, "name": id_, "type": "artist", **more} for id_ in ids]
    return {"artists": {"items": items, "total": total, "cursors": {"after": after}}}


def albums(*ids: str | None, total: int) -> dict[str, Any]:
    items = [id_ and {"added_at": "2026-01-01T00:00:00Z", "album": {"id": id_, "popularity": 1}} for id_ in ids]
    return {"items": items, "total": total}


def read(cursor: SavedList, body: Any) -> Step:
    (request,) = listing.plan(cursor)
    return listing.fold(cursor, [Answer(request, body)])


def test_albums_continue_by_offset_and_artists_after_an_id() -> None:
    step = read(SavedList("saved_albums"), albums("a", None, total=3))
    assert isinstance(step.cursor, SavedList)
    assert listing.plan(step.cursor)[0].offset == 2
    step = read(SavedList("followed_artists"), artists("a", "b", total=3, after="b"))
    assert isinstance(step.cursor, SavedList)
    assert listing.plan(step.cursor)[0].after == "b"
    last = read(step.cursor, artists("c", total=3))
    assert last.saved_list
    assert last.saved_list.listed == Listed(3, 0, steady=True, one_page=False, reading=1)


def test_a_complete_row_needs_no_look_up() -> None:
    assert parse.followed_artists(artists("a", total=1, popularity=3), 0).full == {"a"}
    assert parse.followed_artists(artists("a", total=1), 0).full == set()
    assert parse.saved_albums(albums("a", None, total=2), 0).full == {"a"}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"artists": None},
        {"artists": {"items": [], "cursors": {"after": None}}},
        {"artists": {"items": [], "total": 3, "cursors": {"after": None}}},
        {"artists": {"items": [{"id": "a"}], "total": 3}},
        {"artists": {"items": [{"id": "a"}], "total": 3, "cursors": None}},
        {"artists": {"items": [{"id": "a"}, {"id": "b"}], "total": 1, "cursors": {"after": None}}},
        {"artists": {"items": [], "total": 3, "cursors": {"after": "a"}}},
    ],
)
def test_a_missing_list_is_unreadable_and_not_empty(body: Any) -> None:
    with pytest.raises(Unreadable):
        read(SavedList("followed_artists"), body)


def test_rejects_a_page_whose_cursor_does_not_advance() -> None:
    cursor = SavedList("followed_artists", Walk(1, 9), after="a")
    with pytest.raises(Unreadable):
        read(cursor, artists("a", total=9, after="a"))


def test_a_refusal_defers_the_list() -> None:
    cursor = SavedList("followed_artists")
    (request,) = listing.plan(cursor)
    step = listing.fold(cursor, [Answer(request, refused=Refused(403, "not for you"))])
    assert step.put_off
    assert "not for you" in step.why


def test_a_list_with_the_same_first_page_is_unchanged_for_a_day() -> None:
    page = SavedRead((), frozenset(), frozenset(), 3, "x")
    last = LastRead(3, "x", NOW, NullCount())
    assert listing.unchanged(last, page, NOW + timedelta(hours=23))
    assert not listing.unchanged(last, page, NOW + timedelta(hours=24))
    assert not listing.unchanged(LastRead(4, "x", NOW, NullCount()), page, NOW)
    assert not listing.unchanged(LastRead(3, "y", NOW, NullCount()), page, NOW)
    assert not listing.unchanged(None, page, NOW)


@given(met=st.integers(0, 9), nulls=st.integers(0, 3), total=st.integers(0, 12), known=st.integers(0, 3))
def test_rows_that_do_not_add_up_to_the_total_prove_nothing(met: int, nulls: int, total: int, known: int) -> None:
    listed = Listed(total, nulls, steady=True, one_page=False, reading=2, before=nulls)
    assert listing.proves(listed, met, known, as_before=True) == (met + nulls == total)
