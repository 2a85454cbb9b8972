"""Recorded replies of Spotify: every row that is not null yields a row."""

import json
from pathlib import Path
from typing import Any

import pytest

from spotisync.core import parse
from spotisync.core.rows import CatalogueRows

RECORDED = Path(__file__).parents[4] / "shared/spotify/recorded"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded replies are not here")


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


def test_parses_recorded_saved_tracks_completely() -> None:
    body = recorded("me_tracks")
    found = parse.saved_tracks(body, 0)
    assert [row and row.track_id for row in found.rows] == [item["track"]["id"] for item in body["items"]]
    assert all(row and row.added_at > parse.EPOCH for row in found.rows)
    assert all(row.album_id and row.artist_ids and row.isrc for row in found.catalogue.tracks.values())
    assert all(row.released_on and row.image_url for row in found.catalogue.albums.values())


def test_parses_recorded_playlists_completely() -> None:
    body = recorded("me_playlists")
    found = parse.playlists(body, 0)
    assert [row and row.id for row in found.rows] == [item and item["id"] for item in body["items"]]
    expected = {item["id"]: (item["snapshot_id"], item["items"]["total"]) for item in body["items"] if item}
    assert {row.id: (row.snapshot_id, row.total_items) for row in found.playlists} == expected


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("playlist_items", None),
        ("playlist_items_episodes_and_tracks", None),
        ("playlist_full", "tracks"),
        ("playlist_with_episode", "tracks"),
        ("playlist_with_local_track", "tracks"),
    ],
)
def test_parses_recorded_playlist_items_completely(name: str, within: str | None) -> None:
    body = recorded(name)
    body = body[within] if within else body
    found = parse.playlist_items(body, 0)
    assert len(found.rows) == len(body["items"]) > 0
    for row, item in zip(found.rows, body["items"], strict=True):
        inner = item.get("item") or item["track"]
        expected = "local" if item["is_local"] else inner["type"] if inner else "unavailable"
        assert row.kind == expected
        assert row.track_id == (inner["id"] if expected == "track" else None)
        assert row.name == (inner["name"] if inner else None)


def test_parses_recorded_saved_albums_completely() -> None:
    items = [item for item in recorded("me_albums")["items"] if item]
    catalogue = CatalogueRows()
    rows = [parse.album(item["album"], catalogue) for item in items]
    assert [row and row.id for row in rows] == [item["album"]["id"] for item in items]
    assert all(row and row.artist_ids and row.label and row.upc and row.total_tracks for row in rows)


def test_parses_recorded_artists_completely() -> None:
    lists = [
        recorded("me_following_artists")["artists"]["items"],
        recorded("artists_followers_float")["artists"],
        [recorded("artist")],
    ]
    for items in lists:
        rows = [parse.artist(item) for item in items]
        assert [row and row.id for row in rows] == [item["id"] for item in items]
        assert all(row and row.genres is not None and row.followers is not None for row in rows)


def test_parses_recorded_plays_and_the_album_completely() -> None:
    for item in recorded("recently_played")["items"]:
        assert parse.track(item["track"], CatalogueRows())
    assert parse.album(recorded("album"), CatalogueRows())


PARSED = {
    "album", "artist", "artists_followers_float", "me_albums", "me_following_artists", "me_playlists", "me_tracks",
    "playlist_full", "playlist_items", "playlist_items_episodes_and_tracks", "playlist_with_episode",
    "playlist_with_local_track", "recently_played",
}  # fmt: skip


def test_every_recorded_reply_has_a_test() -> None:
    """The rest has no parser: the profile and two errors."""
    assert {path.stem for path in RECORDED.glob("*.json")} - PARSED == {"me", "error_404", "error_429_rate"}


@pytest.mark.parametrize("name", ["playlist_full", "playlist_with_episode", "playlist_with_local_track"])
def test_parses_a_recorded_playlist_object_completely(name: str) -> None:
    body = recorded(name)
    row = parse.playlist(body)
    assert row
    assert (row.id, row.name, row.snapshot_id) == (body["id"], body["name"], body["snapshot_id"])
    assert None not in {row.owner_id, row.collaborative, row.total_items}
