"""Which keys a reply has, and which needed ones are missing."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.reply_shapes import MOST_KEYS, NEEDED, is_known_status, read_shape
from spotisync.core.requests import Kind

TRACK = {"id": "t1", "name": "n", "artists": [{"id": "a1"}], "external_urls": {"spotify": "…"}}
SAVED = {"items": [{"added_at": "2026-01-01T00:00:00Z", "track": TRACK}], "total": 1, "next": None}
FOLLOWED = {"artists": {"items": [{"id": "a1", "genres": []}], "total": 1, "cursors": {"after": None}}}
PLAYLISTS = {"items": [{"id": "p1", "snapshot_id": "s", "items": {"total": 3}}], "total": 1}


def saved(*rows: Any, **page: Any) -> dict[str, Any]:
    return {"items": list(rows), "total": len(rows), **page}


def missing(kind: Kind, body: Any) -> set[str]:
    return set(read_shape(kind, body).missing)


def test_reads_the_keys_of_a_page_its_rows_and_their_objects() -> None:
    keys = read_shape("saved_tracks", SAVED).keys
    assert {"items", "total", "next", "items[].added_at", "items[].track", "items[].track.id"} <= keys
    assert not any("artists[]" in key or "spotify" in key for key in keys), "deeper objects are left out"
    assert "artists.items[].genres" in read_shape("followed_artists", FOLLOWED).keys


def test_stores_no_ids_and_no_values() -> None:
    body = {"4iV5W9uYEdYUVa79Axb7Rh": 1, "items": [{"added_at": "x", "0123": 2, "Ünïcode": 3}], "a" * 60: 4}
    assert read_shape("saved_tracks", body).keys == {"items", "items[].added_at"}


def test_keeps_only_the_needed_keys_of_a_reply_with_too_many() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    body = SAVED | {f"{one}_{two}": 0 for one in letters for two in letters}
    shape = read_shape("saved_tracks", body)
    assert len(shape.keys) <= MOST_KEYS
    assert not shape.missing


def test_every_kind_of_request_has_needed_keys() -> None:
    assert set(NEEDED) == set(get_args(Kind))


@pytest.mark.parametrize(
    ("kind", "body"), [("saved_tracks", SAVED), ("followed_artists", FOLLOWED), ("playlists", PLAYLISTS)]
)
def test_an_ordinary_reply_lacks_nothing(kind: Kind, body: Any) -> None:
    shape = read_shape(kind, body)
    assert (len(shape.present), shape.missing) == (len(NEEDED[kind]), frozenset())


@pytest.mark.parametrize(
    ("kind", "body", "names"),
    [
        ("saved_tracks", saved({"added_at": "x", "item": TRACK}), {"items[].track"}),
        ("saved_tracks", saved({"added_at": "x", "track": {"uri": "u"}}), {"items[].track.id"}),
        ("saved_tracks", saved({"track": TRACK}), {"items[].added_at"}),
        ("saved_tracks", {"items": [], "next": None}, {"total"}),
        ("saved_tracks", {"entries": []}, {"items", "total"}),
        ("followed_artists", {"items": []}, {"artists"}),
        ("followed_artists", {"artists": {"items": [{"name": "n"}], "total": 1}}, {"artists.items[].id"}),
        (
            "playlists",
            {"items": [{"id": "p1", "snapshot_id": "s"}], "total": 1},
            {"items[].items or items[].tracks"},
        ),
        (
            "playlists",
            {"items": [{"id": "p1", "snapshot_id": "s", "tracks": {"href": "…"}}], "total": 1},
            {"items[].items.total or items[].tracks.total"},
        ),
    ],
)
def test_names_the_needed_keys_that_no_row_has(kind: Kind, body: Any, names: set[str]) -> None:
    assert missing(kind, body) == names


@pytest.mark.parametrize(
    "body",
    [
        saved(),
        saved(None),
        saved({"added_at": "x", "track": None}),
        saved({"added_at": "x"}, {"added_at": None, "track": TRACK}),
        saved({"added_at": "x", "track": {"id": None}}),
        {"error": {"status": 500}},
        None,
        [],
        "text",
    ],
)
def test_nulls_empty_pages_and_errors_lack_nothing(body: Any) -> None:
    assert missing("saved_tracks", body) == set()


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "total", "track", "id", "artists", "added_at", "X"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(kind=st.sampled_from(sorted(NEEDED)), body=json)
def test_reads_any_reply(kind: Kind, body: Any) -> None:
    shape = read_shape(kind, body)
    assert not shape.present & shape.missing


def test_knows_the_statuses_that_have_a_reaction() -> None:
    assert all(is_known_status(status) for status in (200, 400, 401, 403, 404, 429, 500, 502, 503, 504, 520))
    assert not any(is_known_status(status) for status in (302, 402, 410, 418, 451))
