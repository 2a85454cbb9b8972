"""Every key of a recorded reply of Spotify is at the same place in the simulator's reply."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spotisync.simulator import Server, start

from .reader import Reader

RECORDED = Path(__file__).parents[4] / "shared/spotify/recorded"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded replies are not here")

OPTIONAL = ("linked_from", "restrictions")  # only a few tracks of a few albums have them
OLD = ("resume_point", "is_playable")  # optional for episodes
Keys = set[str]


def kind(value: Any) -> str:
    """Distinguish objects at the same place: tracks, episodes, local files."""
    return "local" if value.get("is_local") and "uri" in value else str(value.get("type", ""))


def objects(value: Any, place: str = "") -> Iterator[tuple[str, Keys]]:
    """Yield the place and the keys of each object."""
    if isinstance(value, dict):
        here = f"{place}<{kind(value)}>"
        yield here, set(value)
        for key, each in value.items():
            yield from objects(each, f"{here}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from objects(each, f"{place}[]")


def always(value: Any) -> dict[str, Keys]:
    """Return the keys that every object at a place has."""
    common: dict[str, Keys] = {}
    for place, keys in objects(value):
        common[place] = common.get(place, keys) & keys
    return common


def missing(recorded: Any, ours: Any) -> dict[str, Keys]:
    seen = always(ours)
    wanted = {place: keys - {*OPTIONAL, *OLD, "isrc"} for place, keys in always(recorded).items()}
    return {place: lost for place, keys in wanted.items() if place in seen and (lost := keys - seen[place])}


@pytest.fixture(scope="module")
def spotify() -> Iterator[Server]:
    with start(300) as server:
        yield server


def ask(server: Server, name: str) -> Any:
    truth = server.world.truth()
    mixed = next(id_ for id_, rows in truth["playlist_items"].items() if any(row["kind"] == "local" for row in rows))
    known = {kind: next(id_ for id_, each in truth[kind].items() if not each["gone"]) for kind in ("artists", "albums")}
    paths: dict[str, tuple[str, dict[str, Any]]] = {
        "me": ("/me", {}),
        "me_tracks": ("/me/tracks", {"limit": 48}),
        "me_albums": ("/me/albums", {"limit": 48}),
        "me_playlists": ("/me/playlists", {"limit": 48}),
        "me_following_artists": ("/me/following", {"type": "artist", "limit": 48}),
        "recently_played": ("/me/player/recently-played", {"limit": 48}),
        "artist": (f"/artists/{known['artists']}", {}),
        "artists_followers_float": ("/artists", {"ids": known["artists"]}),
        "album": (f"/albums/{known['albums']}", {}),
        "playlist_full": (f"/playlists/{mixed}", {"additional_types": "track,episode"}),
        "playlist_with_episode": (f"/playlists/{mixed}", {"additional_types": "track,episode"}),
        "playlist_with_local_track": (f"/playlists/{mixed}", {}),
        "playlist_items": (f"/playlists/{mixed}/items", {"limit": 48}),
        "playlist_items_episodes_and_tracks": (f"/playlists/{mixed}/tracks", {"additional_types": "track,episode"}),
        "error_404": ("/playlists/" + "0" * 22, {}),
    }
    path, query = paths[name]
    with Reader(server.url, server.access_token()) as reader:
        return reader.get(path, **query).json()


NAMES = sorted(path.stem for path in RECORDED.glob("*.json") if path.stem != "error_429_rate")


@pytest.mark.parametrize("name", NAMES)
def test_no_recorded_key_is_missing(spotify: Server, name: str) -> None:
    recorded = json.loads((RECORDED / f"{name}.json").read_text())
    ours = ask(spotify, name)
    assert missing(recorded, ours) == {}
    assert {place for place, _ in objects(recorded)} & {place for place, _ in objects(ours)}


def test_compared_places_exist(spotify: Server) -> None:
    recorded = json.loads((RECORDED / "playlist_items_episodes_and_tracks.json").read_text())
    ours = ask(spotify, "playlist_items_episodes_and_tracks")
    shared = {place for place, _ in objects(recorded)} & {place for place, _ in objects(ours)}
    assert any("<episode>.show<show>" in place for place in shared)
    assert any(".track<track>.album<album>" in place for place in shared)


def test_a_429_has_the_recorded_body(spotify: Server) -> None:
    spotify.control.add_fault(status=429)
    recorded = json.loads((RECORDED / "error_429_rate.json").read_text())
    assert ask(spotify, "me") == recorded
