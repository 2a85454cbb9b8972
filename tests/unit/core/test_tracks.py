"""Saved tracks: the requests of a batch of the walk, and the results of its answers."""

from collections.abc import Sequence
from typing import Any

import pytest

from spotisync.core import tracks
from spotisync.core.parse import EPOCH, Unreadable
from spotisync.core.requests import FAMILY, Request
from spotisync.core.steps import Answer, WalkStep
from spotisync.core.tracks import WalkEvidence
from spotisync.core.walk import TracksWalk, Walk


def saved(rows: Sequence[int], total: int) -> dict[str, Any]:
    items = [{"added_at": f"2026-01-01T00:{59 - row:02}:00Z", "track": {"id": f"t{row}"}} for row in rows]
    return {"items": items, "total": total}


def test_keeps_saved_tracks_before_an_unreadable_page() -> None:
    cursor = TracksWalk(walk=Walk(0, 59))
    good, bad = Request("saved_tracks", 0), Request("saved_tracks", 49)
    step = tracks.fold_walk(cursor, [Answer(good, saved(range(50), 59)), Answer(bad, {"total": 59})])
    assert isinstance(step, WalkStep)
    assert len(step.saved) == 50
    assert isinstance(step.cursor, TracksWalk)
    assert step.cursor.walk.position == 50
    with pytest.raises(Unreadable):
        tracks.fold_walk(cursor, [Answer(good, {"total": 59})])


def test_returns_both_rows_of_a_track_that_is_listed_twice() -> None:
    items = [
        {"added_at": f"2026-01-0{day}T00:00:00Z", "track": {"id": id_}} for day, id_ in ((5, "a"), (4, "b"), (2, "a"))
    ]
    step = tracks.fold_walk(TracksWalk(), [Answer(Request("saved_tracks"), {"items": items[::-1], "total": 3})])
    assert isinstance(step, WalkStep)
    assert [(row.track_id, row.added_at.day) for row in step.saved] == [("a", 2), ("b", 4), ("a", 5)]
    assert step.cursor is None


@pytest.mark.parametrize(("met", "skipped", "proved"), [(59, 0, True), (58, 0, False), (59, 50, False)])
def test_a_walk_is_proved_by_its_sum_if_no_page_was_left_out(met: int, skipped: int, proved: bool) -> None:
    """Twins or null rows may fill the sum where a page is missing."""
    evidence = WalkEvidence(met, {EPOCH: 1}, None)
    assert tracks.is_proved(evidence, WalkStep(cursor=None, total=60, skipped=skipped)) is proved


def test_every_request_belongs_to_a_family() -> None:
    assert {Request(kind).family for kind in FAMILY} == {"library", "artists", "albums", "playlists", "player"}
