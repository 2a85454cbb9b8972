"""Requests to the Web API."""

import threading
import warnings
from typing import Any

import requests
import spotipy

from spotisync.core.parse import text
from spotisync.core.requests import IDS_PER_CALL, PAGE, Request
from spotisync.errors import Refused, Transient
from spotisync.spotify import http

# Spotify deprecated the batch look-ups in February 2026; apps of the full regime have no replacement.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"spotipy\.client")


class Endpoints(spotipy.Spotify):  # type: ignore[misc]
    """spotipy's endpoints, and one that it lacks, over a lighter call: spotipy formats each body for a debug line."""

    def _internal_call(self, method: str, url: str, _payload: Any, params: dict[str, Any]) -> Any:
        session = self._session
        headers = {**session.headers, **self._auth_headers(), "Content-Type": "application/json"}
        # Prepared without the session, which would merge its settings and cookies into each request.
        request = requests.Request(method, self.prefix + url, headers, params=params, hooks=session.hooks).prepare()
        return http.read_json(session.send(request, timeout=self.requests_timeout))

    def current_user_saved_audiobooks(self, limit: int, offset: int) -> Any:
        """Return a page of saved audiobooks, for which spotipy has no method (spotipy#1212)."""
        return self._get("me/audiobooks", limit=limit, offset=offset)


class SpotifyClient:
    """One per process. Each thread has its own session, which stays open between batches."""

    def __init__(self, api_url: str, timeout: float) -> None:
        self._prefix = api_url + "/"
        self._timeout = timeout
        self._threads = threading.local()

    def get(self, request: Request, access_token: str) -> Any:
        """Return the JSON of one reply. Raises only Refused, Throttled, Unauthorised, Transient or Fatal."""
        spotify = self._spotify(access_token)
        match request.kind:
            case "saved_tracks" | "saved_albums" | "saved_audiobooks" | "saved_shows" | "saved_episodes" | "playlists":
                method = getattr(spotify, f"current_user_{request.kind}")
                return self._call(method, limit=PAGE, offset=request.offset)
            case "followed_artists":
                return self._call(spotify.current_user_followed_artists, limit=PAGE, after=request.after or None)
            case "artists" | "albums" | "artist" | "album":
                ids = list(request.ids) if request.kind in IDS_PER_CALL else request.ids[0]
                return self._call(getattr(spotify, request.kind), ids)
            case "playlist_items":
                return self._call(
                    spotify.playlist_items,
                    request.playlist_id,
                    limit=PAGE,
                    offset=request.offset,
                    # Without "episode", Spotify returns episodes in the shape of tracks.
                    additional_types=("track", "episode"),
                )
            case "recently_played":
                # Without a cursor, because plays appear late and are inserted by the time of their end.
                return self._call(spotify.current_user_recently_played, limit=PAGE)
            case "top_artists" | "top_tracks":
                method = getattr(spotify, f"current_user_{request.kind}")
                return self._call(method, limit=PAGE, time_range=request.time_range)
            case "profile":
                return self._call(spotify.current_user)

    def get_profile(self, access_token: str) -> dict[str, Any]:
        """Return the profile that a token belongs to; what is not text in it counts as absent."""
        profile = self._call(self._spotify(access_token).current_user)
        fields = {name: text(value) for name, value in profile.items()} if isinstance(profile, dict) else {}
        if not fields.get("id"):
            raise Transient("Spotify sent a profile without an id")
        return fields

    def _spotify(self, access_token: str) -> spotipy.Spotify:
        spotify: spotipy.Spotify | None = getattr(self._threads, "spotify", None)
        if spotify is None:
            session = http.make_session(http.check_api)
            http.read_environment_once(session, self._prefix)
            spotify = Endpoints(auth=access_token, requests_session=session, requests_timeout=self._timeout)
            spotify.prefix = self._prefix
            self._threads.spotify = spotify
        spotify.set_auth(access_token)
        return spotify

    @staticmethod
    def _call(method: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with http.translate_connection_errors():
                body = method(*args, **kwargs)
        except spotipy.SpotifyException as error:
            # spotipy itself raises it for an id with invalid characters. Errors of Spotify come from the response hook.
            raise Refused(error.http_status, error.msg) from None
        if body is None:  # a 204, or a 200 whose body is not JSON
            raise Transient("Spotify sent an empty or broken body")
        return body
