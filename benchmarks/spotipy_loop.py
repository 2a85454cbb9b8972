"""The floor: a plain spotipy loop over the same library. No database, no checkpoint; what it read is thrown away."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import spotipy

from spotisync.core.requests import IDS_A_CALL, PAGE
from spotisync.simulator import Control

Json = dict[str, Any]
logging.getLogger("spotipy.client").setLevel(logging.CRITICAL)  # a playlist that is refused is no news here


def loop(control: Control) -> float:
    """Seconds, for what a full sync reads: saved tracks, playlists and their contents, each artist, each album."""
    spotify = spotipy.Spotify(auth=control.token()["access_token"], requests_timeout=30)
    spotify.prefix = f"{control.url}/v1/"
    began = perf_counter()
    tracks = [*_rows(spotify, spotify.current_user_saved_tracks), *_in_playlists(spotify)]
    known = [track for track in tracks if track and track.get("type") == "track" and track["id"]]
    albums = {track["album"]["id"] for track in known}
    artists = {artist["id"] for track in known for artist in (*track["artists"], *track["album"]["artists"])}
    for ids in _portions(artists, IDS_A_CALL["artists"]):
        spotify.artists(ids)
    for ids in _portions(albums, IDS_A_CALL["albums"]):
        spotify.albums(ids)
    return perf_counter() - began


def _in_playlists(spotify: Any) -> Iterator[Json | None]:
    for playlist in _pages(spotify, spotify.current_user_playlists):
        if playlist:
            yield from _rows(spotify, partial(spotify.playlist_items, playlist["id"]))


def _rows(spotify: Any, first: Callable[..., Json]) -> Iterator[Json | None]:
    for row in _pages(spotify, first):
        yield row and row.get("track")


def _pages(spotify: Any, first: Callable[..., Json]) -> Iterator[Json | None]:
    """Rows of a list, page by page, as spotipy's documentation has it. One that is refused has none."""
    try:
        page: Json | None = first(limit=PAGE)
    except spotipy.SpotifyException:
        page = None
    while page:
        yield from page["items"]
        page = spotify.next(page)


def _portions(ids: set[str], size: int) -> Iterator[list[str]]:
    ordered = sorted(ids)
    return (ordered[at : at + size] for at in range(0, len(ordered), size))
