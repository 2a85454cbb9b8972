"""Spotify's JSON in both regimes. Fragments are cached strings, so that writing a page is only joining them."""

from functools import lru_cache
from typing import Any

from spotisync.simulator.http.text import array, dumps, join, page
from spotisync.simulator.world.catalogue import TWIN, Album, Artist, Catalogue, Track, pick
from spotisync.simulator.world.pictures import images
from spotisync.simulator.world.times import iso

OPEN = "https://open.spotify.com"
MARKETS = ["AR", "DE", "NL"]
RESTRICTED = {
    "artist": ("genres", "popularity", "followers"),
    "album": ("available_markets", "label", "popularity", "genres"),
    "track": ("available_markets", "linked_from", "popularity", "preview_url"),
    "show": ("available_markets", "publisher"),
}


class Shapes:
    """Writes the objects of one catalogue, under one URL and in one regime."""

    def __init__(self, catalogue: Catalogue, api_url: str, *, restricted: bool = False) -> None:
        self.catalogue, self.api_url, self.restricted = catalogue, api_url, restricted
        self.artist_stub = lru_cache(1 << 14)(self._artist_stub)
        self.album_stub = lru_cache(1 << 14)(self._album_stub)
        self._playable_track = lru_cache(1 << 15)(self._track)
        self.artist = lru_cache(1 << 13)(self._artist)
        self.album = lru_cache(1 << 11)(self._album)

    def link(self, kind: str, id_: str) -> dict[str, Any]:
        return {
            "external_urls": {"spotify": f"{OPEN}/{kind}/{id_}"},
            "href": f"{self.api_url}/{kind}s/{id_}",
            "id": id_,
            "type": kind,
            "uri": f"spotify:{kind}:{id_}",
        }

    def allowed(self, kind: str, members: dict[str, Any]) -> dict[str, Any]:
        if not self.restricted:
            return members
        return {key: value for key, value in members.items() if key not in RESTRICTED[kind]}

    def _artist_stub(self, number: int) -> str:
        artist = self.catalogue.artist(number)
        return dumps({**self.link("artist", artist.id), "name": artist.name})

    def _artist(self, number: int) -> str:
        return dumps(self.allowed("artist", self._artist_members(self.catalogue.artist(number))))

    def _artist_members(self, artist: Artist) -> dict[str, Any]:
        number = float if self.catalogue.quirks and artist.number % 11 == 4 else int  # Spotify sends both
        return {
            **self.link("artist", artist.id),
            "name": artist.name,
            "followers": {"href": None, "total": number(artist.followers)},
            "genres": list(artist.genres),
            "images": images("artist", artist.id, artist.pictures),
            "popularity": number(artist.popularity),
        }

    def _album_stub(self, number: int) -> str:
        album = self.catalogue.album(number)
        return join(self._album_members(album), artists=self._artists(album.artists))

    def _artists(self, numbers: tuple[int, ...]) -> str:
        return array([self.artist_stub(number) for number in numbers])

    def _album_members(self, album: Album) -> dict[str, Any]:
        return self.allowed(
            "album",
            {
                **self.link("album", album.id),
                **pick(album, "name", "album_type", "release_date", "release_date_precision", "total_tracks"),
                "available_markets": MARKETS,
                "images": images("album", album.id, album.pictures),
                "is_playable": True,
            },
        )

    def _album(self, number: int) -> str:
        album = self.catalogue.album(number)
        extra = {
            "copyrights": [{"text": f"{album.release_date[:4]} {album.label}", "type": kind} for kind in "CP"],
            "external_ids": {"upc": album.upc},
            "genres": [],
            "label": album.label,
            "popularity": album.popularity,
        }
        members = self._album_members(album) | self.allowed("album", extra)
        return join(members, artists=self._artists(album.artists), tracks=self.album_tracks(number, 0, 50))

    def album_tracks(self, number: int, offset: int, limit: int) -> str:
        tracks = self.catalogue.tracks_of(number)
        path = f"{self.api_url}/albums/{self.catalogue.album(number).id}/tracks"
        rows = [self.album_track(track) for track in tracks[offset : offset + limit]]
        return page(path, rows, len(tracks), offset, limit)

    def album_track(self, number: int) -> str:
        track = self.catalogue.track(number)
        members = self._track_members(track)
        if self.catalogue.quirks and number % 53 == 9:
            members["restrictions"] = {"reason": "market"}
        elif number in self.catalogue.unplayable:
            members["restrictions"] = {"reason": self.catalogue.unplayable[number]}
        for key in ("external_ids", "popularity", "is_playable"):
            members.pop(key, None)
        return join(members, artists=self._artists(track.artists))

    def _track_members(self, track: Track) -> dict[str, Any]:
        members = {
            **self.link("track", track.id),
            **pick(track, "name", "duration_ms", "explicit", "disc_number", "track_number", "popularity"),
            "available_markets": MARKETS,
            "external_ids": {} if track.isrc is None else {"isrc": track.isrc},
            "is_local": False,
            "is_playable": True,
            "preview_url": None,
        }
        if track.number >= TWIN or (self.catalogue.quirks and track.number % 59 == 11):
            original = track.number - TWIN if track.number >= TWIN else track.number + TWIN
            members["linked_from"] = self.link("track", self.catalogue.ids.of("track", original))
        if reason := self.catalogue.unplayable.get(track.number):
            members |= {"available_markets": [], "is_playable": False, "restrictions": {"reason": reason}}
        return self.allowed("track", members)

    def track(self, number: int) -> str:
        return self._track(number) if number in self.catalogue.unplayable else self._playable_track(number)

    def _track(self, number: int) -> str:
        track = self.catalogue.track(number)
        return join(
            self._track_members(track), album=self.album_stub(track.album), artists=self._artists(track.artists)
        )

    def playlist_track(self, number: int) -> str:
        return self.track(number)[:-1] + ', "episode": false, "track": true}'

    def saved_row(self, added_at: int, track: int) -> str:
        return f'{{"added_at": "{iso(added_at)}", "track": {self.track(track) if track >= 0 else "null"}}}'

    def album_row(self, added_at: int, album: int | None) -> str:
        return "null" if album is None else f'{{"added_at": "{iso(added_at)}", "album": {self.album(album)}}}'
