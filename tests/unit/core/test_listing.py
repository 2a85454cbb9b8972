"""Lists that are read whole: what a page says, where the reading continues, what its end proves."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import listing, parse, walk
from spotisync.core.cursors import Listing
from spotisync.core.listing import LastRead, ListEvidence, ListVerdict
from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.parse import Unreadable
from spotisync.core.steps import Answer, DeferralStep, ListingStep, ListRead
from spotisync.core.walk import Walk
from spotisync.errors import Refused

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def artists(*ids: str | None, total: int, after: str | None = None, **more: Any) -> dict[str, Any]:
    items = [id_ and {"id": id_, "name": id_, "type": "artist", **more} for id_ in ids]
    return {"artists": {"items": items, "total": total, "cursors": {"after": after}}}


def albums(*ids: str | None, total: int) -> dict[str, Any]:
    items = [id_ and {"added_at": "2026-01-01T00:00:00Z", "album": {"id": id_, "popularity": 1}} for id_ in ids]
    return {"items": items, "total": total}


def playlists(*ids: str | None, total: int) -> dict[str, Any]:
    return {"items": [id_ and {"id": id_} for id_ in ids], "total": total}


def read(cursor: Listing, body: Any) -> ListingStep:
    (request,) = listing.plan(cursor)
    step = listing.fold(cursor, [Answer(request, body)])
    assert isinstance(step, ListingStep)
    return step


def test_albums_continue_by_offset_and_artists_after_an_id() -> None:
    step = read(Listing("saved_albums"), albums("a", None, total=3))
    assert isinstance(step.cursor, Listing)
    assert listing.plan(step.cursor)[0].offset == 2
    step = read(Listing("followed_artists"), artists("a", "b", total=3, after="b"))
    assert isinstance(step.cursor, Listing)
    assert listing.plan(step.cursor)[0].after == "b"
    last = read(step.cursor, artists("c", total=3))
    assert last.end == ListRead(3, 0, steady=True, one_page=False, reading=1)


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
        {"artists": {"items": [{"id": "a"}], "total": 3}},
        {"artists": {"items": [{"id": "a"}], "total": 3, "cursors": None}},
        {"artists": {"items": [{"id": "a"}, {"id": "b"}], "total": 1, "cursors": {"after": None}}},
        {"artists": {"items": [], "total": 3, "cursors": {"after": "a"}}},
    ],
)
def test_a_missing_list_is_unreadable_and_not_empty(body: Any) -> None:
    with pytest.raises(Unreadable):
        read(Listing("followed_artists"), body)


def test_a_list_that_ends_before_its_total_is_read_again() -> None:
    step = read(Listing("followed_artists"), artists("a", "b", total=3))
    assert isinstance(step, ListingStep)
    assert step.end
    assert (step.end.nulls, step.end.phantoms) == (1, 1)
    evidence = ListEvidence(2, same_as_before=False, suspects=(), last=None)
    assert listing.conclude(replace(step.end, one_page=False), evidence).read_again


def test_rejects_a_page_whose_cursor_does_not_advance() -> None:
    cursor = Listing("followed_artists", Walk(1, 9), after="a")
    with pytest.raises(Unreadable):
        read(cursor, artists("a", total=9, after="a"))


def test_a_refusal_defers_the_list() -> None:
    cursor = Listing("followed_artists")
    (request,) = listing.plan(cursor)
    step = listing.fold(cursor, [Answer(request, refused=Refused(403, "not for you"))])
    assert isinstance(step, DeferralStep)
    assert "not for you" in step.reason


def test_a_refused_page_behind_the_first_one_is_passed_by() -> None:
    cursor = Listing("saved_albums", Walk(50, 120))
    (request,) = listing.plan(cursor)
    step = listing.fold(cursor, [Answer(request, refused=Refused(404, "not for you"))])
    assert isinstance(step, ListingStep)
    assert step.end is None


def test_a_list_with_the_same_first_page_is_unchanged_for_a_day() -> None:
    page = ListingStep(cursor=None, total=3, first_page="x")
    last = LastRead(3, "x", NOW, NullCount())
    assert listing.is_unchanged(last, page, NOW + timedelta(hours=23))
    assert not listing.is_unchanged(last, page, NOW + timedelta(hours=24))
    assert not listing.is_unchanged(LastRead(4, "x", NOW, NullCount()), page, NOW)
    assert not listing.is_unchanged(LastRead(3, "y", NOW, NullCount()), page, NOW)
    assert not listing.is_unchanged(None, page, NOW)


def test_a_later_page_never_shows_that_the_list_is_unchanged() -> None:
    """While a list is read, the fingerprint of its last reading is empty, and so is that of a later page."""
    assert not listing.is_unchanged(LastRead(3, "", NOW, NullCount()), ListingStep(cursor=None, total=3), NOW)


# ---- the end of a list ----------------------------------------------------------------------------------------------

PLAYLISTS = Listing("playlists")
SECOND = Listing("playlists", reading=2)


def names(count: int, name: str = "t") -> list[str]:
    return [f"{name}{n}" for n in range(count)]


def conclude(
    end: ListRead | None,
    met: int,
    known_nulls: int = 0,
    *,
    same_as_before: bool = False,
    suspects: Sequence[SuspectRow] = (),
) -> ListVerdict:
    assert end
    last = LastRead(0, "", NOW, NullCount(known_nulls, known_nulls))
    return listing.conclude(end, ListEvidence(met, same_as_before, suspects, last))


def proves(step: ListingStep, met: int, known_nulls: int = 0, *, same_as_before: bool = False) -> bool:
    return conclude(step.end, met, known_nulls, same_as_before=same_as_before).proved


def read_two_pages(
    cursor: Listing, first: Sequence[str | None], second: Sequence[str | None], total: int
) -> ListingStep:
    step = read(cursor, playlists(*first, total=60))
    assert isinstance(step.cursor, Listing)
    return read(step.cursor, playlists(*second, total=total))


def test_a_list_of_one_page_proves_removals() -> None:
    step = read(PLAYLISTS, playlists("p0", None, "p2", total=3))
    assert step.end == ListRead(total=3, nulls=1, steady=True, one_page=True, reading=1)
    assert proves(step, 2)
    assert [(row.position, row.id) for row in step.rows] == [(0, "p0"), (2, "p2")]


def test_a_list_that_is_suddenly_empty_is_read_twice() -> None:
    stored = [SuspectRow("p0")]
    once = conclude(read(PLAYLISTS, playlists(total=0)).end, 0, suspects=stored)
    assert (once.read_again, once.proved) == (True, False)
    twice = conclude(read(SECOND, playlists(total=0)).end, 0, suspects=stored, same_as_before=True)
    assert (twice.read_again, twice.proved) == (False, True)
    after_rows = conclude(read(SECOND, playlists(total=0)).end, 0, suspects=stored)
    assert (after_rows.read_again, after_rows.proved) == (False, False)
    assert conclude(read(PLAYLISTS, playlists(total=0)).end, 0).proved, "nothing was stored"


def test_several_pages_are_read_twice_before_a_row_is_removed() -> None:
    missing = [SuspectRow("gone")]
    once = read_two_pages(PLAYLISTS, names(50), names(10, "q"), 60)
    assert conclude(once.end, 60).proved
    assert conclude(once.end, 60, suspects=missing).read_again
    twice = read_two_pages(SECOND, names(50), names(10, "q"), 60)
    verdict = conclude(twice.end, 60, suspects=missing)
    assert (verdict.proved, verdict.read_again) == (True, False)


def test_a_list_whose_total_changed_proves_nothing() -> None:
    step = read_two_pages(SECOND, names(50), names(11, "q"), 61)
    assert not proves(step, 61)
    assert not proves(step, 61, same_as_before=True)


def test_rows_that_do_not_add_up_prove_nothing() -> None:
    """One row moved up and was missed, another moved down and was met twice."""
    step = read_two_pages(Listing("playlists", reading=2, before=1), [*names(49), None], ["t7", *names(9, "q")], 60)
    assert not proves(step, 58, 1)
    assert not proves(step, 58, 1, same_as_before=True)
    assert proves(step, 59, 1)


def test_a_null_row_may_be_counted_twice() -> None:
    """The rows add up, but to another number of null rows than known: one may stand for a missed row."""
    step = read_two_pages(PLAYLISTS, [*names(49), None], [None, *names(9, "q")], 60)
    assert not proves(step, 58, 1)
    assert proves(step, 58, 2)
    assert step.end
    again = listing.second_reading(PLAYLISTS, step.end)
    step = read_two_pages(again, [*names(49), None], [None, *names(9, "q")], 60)
    assert proves(step, 58, 1, same_as_before=True)


def test_a_list_that_shrank_to_one_page_is_not_one_page() -> None:
    """What its first page contained may be hidden by the last one."""
    step = read(Listing("playlists", Walk(40, 41, step_back=40), nulls=3), playlists(None, *names(39), total=40))
    assert step.end
    assert (step.end.one_page, step.end.steady) == (False, False)


@given(met=st.integers(0, 9), nulls=st.integers(0, 3), total=st.integers(0, 12), known=st.integers(0, 3))
def test_a_second_reading_proves_only_if_rows_add_up(met: int, nulls: int, total: int, known: int) -> None:
    end = ListRead(total, nulls, steady=True, one_page=False, reading=2, before=nulls)
    assert conclude(end, met, known, same_as_before=True).proved == (met + nulls == total)


def test_pages_of_one_batch_overlap_by_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """An insertion between two pages that are read at once shifts a row out of both: the second one is read again."""
    monkeypatch.setattr(walk, "STRIDE", 1)
    first = read(Listing("saved_albums"), albums("a", "b", total=5)).cursor
    assert isinstance(first, Listing)
    requests = listing.plan(first, 3)
    assert [request.offset for request in requests] == [2, 3]
    both = [Answer(requests[0], albums("c", "d", total=5)), Answer(requests[1], albums("d", "e", total=5))]
    step = listing.fold(first, both)
    assert isinstance(step, ListingStep)
    assert [row.id for row in step.rows] == ["c", "d", "e"]
    assert step.end == ListRead(5, 0, steady=True, one_page=False, reading=1)
    shifted = [both[0], Answer(requests[1], albums("e", "f", total=6))]
    step = listing.fold(first, shifted)
    assert isinstance(step, ListingStep)
    assert [row.id for row in step.rows] == ["c", "d"]
    assert isinstance(step.cursor, Listing)
    assert [request.offset for request in listing.plan(step.cursor, 1)] == [4]


def test_artists_are_followed_after_the_first_page() -> None:
    page = Answer(listing.plan(Listing("followed_artists"))[0], artists("a", total=3, after="a"))
    assert listing.follow(Listing("followed_artists"), [page]) is None
    cursor = read(Listing("followed_artists"), page.body).cursor
    assert isinstance(cursor, Listing)
    following = Answer(listing.plan(cursor)[0], artists("b", total=3, after="b"))
    request = listing.follow(cursor, [following])
    assert request
    assert (request.after, request.offset) == ("b", 2)
    last = Answer(request, artists("c", total=3))
    assert listing.follow(cursor, [following, last]) is None
    step = listing.fold(cursor, [following, last])
    assert isinstance(step, ListingStep)
    assert [row.id for row in step.rows] == ["b", "c"]
    assert step.end
