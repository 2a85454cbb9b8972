"""The routes of the Web API: handler, family of calls, required scope, and whether only the full regime has them."""

import re
from collections.abc import Callable
from typing import NamedTuple

from spotisync.simulator.http import lookups, pages, playlist_pages
from spotisync.simulator.http.request import ApiRequest, Reply


class Route(NamedTuple):
    pattern: re.Pattern[str]
    family: str
    answer: Callable[[ApiRequest], Reply]
    scope: str | None = None
    full_only: bool = False


RouteMatch = tuple[Route, tuple[str, ...]]


def _route(
    path: str, family: str, answer: Callable[[ApiRequest], Reply], scope: str | None = None, *, full_only: bool = False
) -> Route:
    pattern = re.escape(path).replace(r"\{id\}", "([^/]+)").replace("{id}", "([^/]+)")
    return Route(re.compile(f"/v1{pattern}"), family, answer, scope, full_only)


ROUTES = (
    _route("/me/tracks", "library", pages.saved_tracks, "user-library-read"),
    _route("/playlists/{id}/items", "playlists", playlist_pages.get_items, "playlist-read-private"),
    _route("/playlists/{id}/tracks", "playlists", playlist_pages.get_tracks, "playlist-read-private", full_only=True),
    _route("/artists", "artists", lookups.look_up_many("artist", 50), full_only=True),
    _route("/artists/{id}", "artists", lookups.look_up_one("artist")),
    _route("/albums", "albums", lookups.look_up_many("album", 20), full_only=True),
    _route("/albums/{id}", "albums", lookups.look_up_one("album")),
    _route("/albums/{id}/tracks", "albums", lookups.album_tracks),
    _route("/tracks", "tracks", lookups.look_up_many("track", 50), full_only=True),
    _route("/tracks/{id}", "tracks", lookups.look_up_one("track")),
    _route("/me", "me", pages.me),
    _route("/me/albums", "library", pages.saved_albums, "user-library-read"),
    _route("/me/shows", "library", pages.saved_shows, "user-library-read"),
    _route("/me/episodes", "library", pages.saved_episodes, "user-read-playback-position"),
    _route("/me/audiobooks", "library", pages.saved_audiobooks, "user-library-read"),
    _route("/me/following", "library", pages.followed_artists, "user-follow-read"),
    _route("/me/top/{id}", "library", pages.top_items, "user-top-read"),
    _route("/me/playlists", "playlists", playlist_pages.list_own, "playlist-read-private"),
    _route("/me/player/recently-played", "player", pages.recently_played, "user-read-recently-played"),
    _route("/playlists/{id}", "playlists", playlist_pages.get_playlist),
    _route("/users/{id}/playlists", "playlists", playlist_pages.list_of_user, "playlist-read-private", full_only=True),
)
_EXACT = {route.pattern.pattern.replace("\\", ""): route for route in ROUTES if not route.pattern.groups}


def find(path: str) -> RouteMatch | None:
    """Find the route of a path without a trailing slash, and the ids in the path."""
    if path in _EXACT:
        return _EXACT[path], ()
    for route in ROUTES:
        if match := route.pattern.fullmatch(path):
            return route, match.groups()
    return None
