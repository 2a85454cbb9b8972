"""What is left out when a request keeps failing."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import listing, tracks
from spotisync.core.cursors import Contents, Cursor, Listing, Lookups
from spotisync.core.incremental import Incremental
from spotisync.core.isolation import MOST_ISOLATED, isolate
from spotisync.core.requests import PAGE, Request
from spotisync.core.steps import Answer, DeferralStep, ListingStep, LookupStep, WalkStep
from spotisync.core.walk import TracksWalk, Walk


def test_one_playlist_is_left_out() -> None:
    step = isolate(Contents(), Request("playlist_items", playlist_id="p1"), "502")
    assert isinstance(step, DeferralStep)
    assert (step.playlist_id, step.failed, step.reason) == ("p1", True, "502")


def test_a_list_that_cannot_be_read_at_all_is_deferred() -> None:
    cursors: Sequence[Cursor] = (TracksWalk(), Incremental(), Listing("playlists"), Listing("followed_artists"))
    for cursor in (*cursors, Listing("followed_artists", Walk(50, 90), after="x")):
        step = isolate(cursor, Request("saved_tracks"), "502")
        assert isinstance(step, DeferralStep)
        assert step.failed
        assert not step.playlist_id


def test_ids_that_fail_together_are_asked_alone() -> None:
    together = isolate(Lookups("artists"), Request("artists", ids=("a", "b")), "502")
    assert isinstance(together, LookupStep)
    assert (together.missed, together.given_up) == (frozenset("ab"), frozenset())
    alone = isolate(Lookups("artists"), Request("artists", ids=("a",)), "502")
    assert isinstance(alone, LookupStep)
    assert (alone.missed, alone.given_up) == (frozenset(), frozenset("a"))


def test_look_ups_that_fail_one_after_another_are_deferred() -> None:
    step = isolate(Lookups("artists", isolated=MOST_ISOLATED), Request("artists", ids=("a",)), "502")
    assert isinstance(step, DeferralStep)


@given(st.integers(1, 12), st.sets(st.integers(1, 11)), st.booleans())
def test_every_readable_page_is_read_whichever_pages_fail(pages: int, bad: set[int], is_listing: bool) -> None:
    rows = [f"r{number}" for number in range(pages * PAGE - 7)]
    cursor: Cursor | None = Listing("saved_albums") if is_listing else TracksWalk()
    met: set[str] = set()
    step: object = None
    for _ in range(200):
        if cursor is None or (isinstance(step, ListingStep) and step.end):
            break
        (request, *_) = listing.plan(cursor) if isinstance(cursor, Listing) else tracks.plan_walk(_walk(cursor), PAGE)
        pages_asked = {request.offset // PAGE, (request.offset + PAGE - 1) // PAGE}
        if bad & pages_asked and request.offset:
            after = isolate(cursor, request, "502")
        else:
            answer = Answer(request, _body(rows, request.offset))
            after = (
                listing.fold(cursor, [answer])
                if isinstance(cursor, Listing)
                else tracks.fold_walk(_walk(cursor), [answer])
            )
            met |= {row.id for row in after.rows} if isinstance(after, ListingStep) else set()
            met |= {row.track_id for row in after.saved} if isinstance(after, WalkStep) else set()
        step, cursor = after, after.cursor
    else:
        raise AssertionError(f"no end: {cursor}")
    readable = {row for number, row in enumerate(rows) if number // PAGE not in bad}
    assert readable <= met


def _walk(cursor: Cursor) -> TracksWalk:
    assert isinstance(cursor, TracksWalk)
    return replace(cursor)


def _body(rows: Sequence[str], offset: int) -> dict[str, object]:
    items = [
        {"added_at": "2026-01-01T00:00:00Z", "track": {"id": row}, "album": {"id": row}}
        for row in rows[offset : offset + PAGE]
    ]
    return {"items": items, "total": len(rows)}
