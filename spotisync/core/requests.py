"""Spotify requests as data, with the endpoint family that each counts against (Spotify limits by family)."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "saved_tracks", "saved_albums", "saved_audiobooks", "saved_shows", "saved_episodes", "followed_artists", "artists",
    "artist", "albums", "album", "playlists", "playlist_items", "recently_played", "top_artists",
    "top_tracks", "profile",
]  # fmt: skip
Family = Literal["library", "artists", "albums", "playlists", "player"]
LimitedFamily = Family | Literal["*"]  # `*`: all families

PAGE = 50  # the maximum `limit` of /me/tracks, the other lists of /me, and /playlists/{id}/items
IDS_PER_CALL = {"artists": 50, "albums": 20}
FAMILY: dict[Kind, Family] = {
    "saved_tracks": "library",
    "saved_albums": "library",
    "saved_audiobooks": "library",
    "saved_shows": "library",
    "saved_episodes": "library",
    "followed_artists": "library",
    "artists": "artists",
    "artist": "artists",
    "albums": "albums",
    "album": "albums",
    "playlists": "playlists",
    "playlist_items": "playlists",
    "recently_played": "player",
    "top_artists": "library",
    "top_tracks": "library",
    "profile": "library",
}


@dataclass(frozen=True)
class Request:
    kind: Kind
    offset: int = 0
    ids: tuple[str, ...] = ()
    playlist_id: str = ""
    after: str = ""
    time_range: str = ""

    @property
    def family(self) -> Family:
        return FAMILY[self.kind]
