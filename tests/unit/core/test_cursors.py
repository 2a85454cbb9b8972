"""Cursors survive a round trip through a jsonb column."""

import json
from dataclasses import fields
from datetime import UTC
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import cursors
from spotisync.core.cursors import Contents, Cursor, Listing, Lookups, PlaylistProgress
from spotisync.core.incremental import Incremental
from spotisync.core.requests import FAMILY
from spotisync.core.states import PHASES, Phase
from spotisync.core.walk import TracksWalk, Walk

COUNTS = st.integers(0, 10**6)
ENTITIES = st.sampled_from(("artists", "albums"))
WALKS = st.builds(Walk, COUNTS, st.none() | COUNTS, COUNTS)
PROGRESS = st.builds(PlaylistProgress, st.text(), st.text(), COUNTS, st.none() | COUNTS)
KINDS: dict[type[Any], tuple[Phase, st.SearchStrategy[Any]]] = {
    TracksWalk: (
        "tracks",
        st.builds(
            TracksWalk,
            st.sampled_from(("list", "head")),
            WALKS,
            st.none() | st.datetimes(timezones=st.just(UTC)),
        ),
    ),
    Incremental: (
        "tracks",
        st.builds(
            Incremental,
            st.sampled_from(("head", "search")),
            st.none() | st.datetimes(timezones=st.just(UTC)),
            COUNTS,
            st.none() | COUNTS,
            COUNTS,
            st.booleans(),
            st.booleans(),
            st.booleans(),
            st.integers(1, 4),
        ),
    ),
    Listing: (
        "albums",
        st.builds(
            Listing,
            st.sampled_from(("saved_albums", "followed_artists", "playlists")),
            WALKS,
            st.text(),
            st.text(),
            st.booleans(),
            COUNTS,
            COUNTS,
            st.integers(1, 2),
            st.none() | COUNTS,
        ),
    ),
    Lookups: (
        "artists",
        st.builds(Lookups, ENTITIES, st.booleans(), st.sampled_from(((), ("artists",), ("artists", "albums")))),
    ),
    Contents: ("playlists", st.builds(Contents, st.none() | PROGRESS)),
}


def test_every_kind_of_cursor_is_covered() -> None:
    assert set(KINDS) == set(get_args(Cursor))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_cursor_survives_a_round_trip_through_json(kind: type[Any], data: st.DataObject) -> None:
    phase, made = KINDS[kind]
    cursor = data.draw(made)
    loaded = cursors.load(phase, json.loads(json.dumps(cursors.dump(cursor))))
    assert loaded == cursor
    assert type(loaded) is kind


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_without_a_cursor_starts_at_its_beginning(phase: Phase) -> None:
    first = cursors.load(phase, None)
    assert cursors.load(phase, cursors.dump(first)) == first
    assert cursors.offset(first) == 0


def test_the_offset_says_how_far_a_list_was_read() -> None:
    assert cursors.offset(TracksWalk(walk=Walk(150, 300, step_back=20))) == 150
    assert cursors.offset(Listing("playlists", Walk(50, 80))) == 50
    assert cursors.offset(Lookups("artists")) == cursors.offset(Contents()) == 0


@pytest.mark.parametrize(
    ("phase", "stored", "cursor"),
    [
        ("albums", {"stage": "saved_list", "name": "saved_albums"}, Listing("saved_albums")),
        ("playlists", {"stage": "listing", "reading": 2, "before": 1}, Listing("playlists", reading=2, before=1)),
        ("artists", {"stage": "lookups"}, Lookups("artists")),
        (
            "playlists",
            {"stage": "late", "deferred": ["albums"]},
            Lookups("artists", late=True, deferred=("albums",)),
        ),
        (
            "playlists",
            {"stage": "contents", "reading": {"playlist_id": "p", "snapshot_id": "s", "position": 50, "total": 60}},
            Contents(PlaylistProgress("p", "s", 50, 60)),
        ),
    ],
)
def test_reads_cursors_of_earlier_versions(phase: Phase, stored: dict[str, Any], cursor: Cursor) -> None:
    assert cursors.load(phase, stored) == cursor


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"stage": "new"},
        {"stage": "contents", "new": 1},
        {"stage": "walk", "walk": 1},
        {"stage": "walk", "part": "new"},
        {"stage": "walk", "walk": {"position": "far"}},
        {"stage": "listing", "name": "new_list"},
        {"stage": "listing", "walk": {"position": [[]]}},
        {"stage": "lookups", "entity": "shows"},
        {"stage": "lookups", "deferred": ["shows"]},
    ],
    ids=str,
)
def test_rejects_cursors_of_later_versions(stored: dict[str, Any]) -> None:
    with pytest.raises(cursors.UnreadableCursor):
        cursors.load("playlists", stored)


FIELDS = sorted(
    {"stage", "part", "reading", *(each.name for kind in [*KINDS, Walk, PlaylistProgress] for each in fields(kind))}
)
STAGES = ["walk", "incremental", "listing", "saved_list", "lookups", "late", "contents"]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["list", "artists"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5)
STORED: st.SearchStrategy[Any] = JSON | st.builds(dict, OBJECTS, stage=st.sampled_from(STAGES))


@st.composite
def changed_cursors(draw: st.DrawFn) -> dict[str, Any]:
    """A cursor with other values in some fields."""
    stored = cursors.dump(draw(st.one_of([made for _, made in KINDS.values()])))
    return {**stored, **draw(st.dictionaries(st.sampled_from(sorted(stored)), JSON, max_size=2))}


@given(STORED | changed_cursors(), st.sampled_from(PHASES))
def test_any_stored_json_is_a_whole_cursor_or_unreadable(stored: Any, phase: Phase) -> None:
    try:
        cursor = cursors.load(phase, stored)
    except cursors.UnreadableCursor as error:
        assert str(error)
        return
    assert isinstance(cursors.offset(cursor), int)
    assert cursor.family in FAMILY.values()
    assert cursors.load(phase, json.loads(json.dumps(cursors.dump(cursor)))) == cursor


def test_json_nested_too_deep_is_unreadable() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(cursors.UnreadableCursor):
        cursors.load("playlists", {"stage": "contents", "progress": {"playlist_id": nested, "snapshot_id": ""}})
