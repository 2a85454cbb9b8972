"""The truth about one account: what the tables of a right sync hold, with Spotify's words for everything."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spotisync.simulator.catalogue import Catalogue
from spotisync.simulator.library import REMEMBERED, Library, Playlist, Row
from spotisync.simulator.pictures import largest
from spotisync.simulator.rows import local_uri
from spotisync.simulator.times import iso, iso_ms, iso_or_none

if TYPE_CHECKING:
    from spotisync.simulator.world import World

Document = dict[str, Any]


def truth(world: "World", library: Library, *, restricted: bool) -> Document:
    return Truth(world, library, restricted=restricted).document()


class Truth:
    """Collects what the account's pages mention, and by which kind of page (`seen_in`)."""

    def __init__(self, world: "World", library: Library, *, restricted: bool) -> None:
        self.world, self.library, self.restricted = world, library, restricted
        self.catalogue: Catalogue = world.catalogue
        self.tracks: dict[int, set[str]] = {}
        self.albums: dict[int, set[str]] = {}
        self.artists: dict[int, set[str]] = {}

    def document(self) -> Document:
        readable = [each for each in self._listed() if self._access(each) == "ok"]
        self._collect(readable)
        saved: dict[int, int] = {}
        for added, track in self.library.saved:
            if track >= 0:
                saved[track] = max(added, saved.get(track, added))
        plays = self.library.plays
        return {
            "account": self.library.id,
            "account_id": self.library.account_id,
            "regime": "restricted" if self.restricted else "full",
            "totals": self._totals(),
            "saved_tracks": [{"track_id": self._id("track", each), "added_at": iso(at)} for each, at in saved.items()],
            "tracks": {self._id("track", each): self._track(each) for each in self.tracks},
            "track_artists": {self._id("track", each): self._performers(each) for each in self.tracks},
            "artists": {self._id("artist", each): self._artist(each) for each in self.artists},
            "albums": {self._id("album", each): self._album(each) for each in self.albums},
            "playlists": self._playlists(),
            "playlist_items": {each.id: self._items(each.rows) for each in readable},
            "saved_albums": [
                {"album_id": self._id("album", album), "added_at": iso(at)}
                for at, album in self.library.albums
                if album is not None
            ],
            "followed_artists": [id_ for id_, _ in self.library.followed],
            "plays": [
                {"played_at": iso_ms(each.played_at), "track_id": self._id("track", each.track)} for each in plays
            ],
            "plays_visible": min(len(plays), REMEMBERED),
        }

    def _id(self, kind: str, number: int) -> str:
        return self.catalogue.ids.of(kind, number)

    def _listed(self) -> list[Playlist]:
        return [self.world.playlists[id_] for id_ in self.library.playlists if id_ is not None]

    def _access(self, that: Playlist) -> str:
        return self.library.access(that, restricted=self.restricted)

    def _totals(self) -> Document:
        """Give the totals that Spotify reports: null rows and twins count."""
        lists = {
            "saved_tracks": len(self.library.saved),
            "saved_albums": len(self.library.albums),
            "playlists": len(self.library.playlists),
            "followed_artists": len(self.library.followed),
        }
        return lists | {"playlist_items": {each.id: len(each.rows) for each in self._listed()}}

    def _collect(self, readable: Iterable[Playlist]) -> None:
        in_playlists = (row.number for that in readable for row in that.rows if row.kind == "track")
        self._see_tracks((track for _, track in self.library.saved if track >= 0), "saved")
        self._see_tracks(in_playlists, "playlist")
        self._see_tracks((each.track for each in self.library.plays[-REMEMBERED:]), "play")
        for _, album in self.library.albums:
            if album is not None:
                self._see_album(album, "saved_album")
        for _, artist in self.library.followed:
            self.artists.setdefault(artist, set()).add("followed")

    def _see_tracks(self, numbers: Iterable[int], where: str) -> None:
        for number in numbers:
            self._see_track(number, where)

    def _see_track(self, number: int, where: str) -> None:
        seen = self.tracks.setdefault(number, set())
        if where in seen:
            return
        seen.add(where)
        track = self.catalogue.track(number)
        for artist in track.artists:
            self.artists.setdefault(artist, set()).add(where)
        self._see_album(track.album, where)

    def _see_album(self, number: int, where: str) -> None:
        self.albums.setdefault(number, set()).add(where)
        for artist in self.catalogue.album(number).artists:
            self.artists.setdefault(artist, set()).add(where)

    def _performers(self, number: int) -> list[str]:
        return [self._id("artist", artist) for artist in self.catalogue.track(number).artists]

    def _track(self, number: int) -> Document:
        track = self.catalogue.track(number)
        return {
            "name": track.name,
            "uri": f"spotify:track:{track.id}",
            "album_id": self._id("album", track.album),
            "duration_ms": track.duration_ms,
            "explicit": track.explicit,
            "disc_number": track.disc_number,
            "track_number": track.track_number,
            "isrc": track.isrc,
            "popularity": None if self.restricted else track.popularity,
            "seen_in": sorted(self.tracks[number]),
        }

    def _artist(self, number: int) -> Document:
        artist, gone = self.catalogue.artist(number), self.catalogue.gone("artist", number)
        blank = gone or self.restricted
        return {
            "name": artist.name,
            "uri": f"spotify:artist:{artist.id}",
            "genres": None if blank else list(artist.genres),
            "popularity": None if blank else artist.popularity,
            "followers": None if blank else artist.followers,
            "image_url": None if gone else largest("artist", artist.id, artist.pictures),
            "gone": gone,
            "seen_in": sorted(self.artists[number]),
        }

    def _album(self, number: int) -> Document:
        album, gone = self.catalogue.album(number), self.catalogue.gone("album", number)
        blank = gone or self.restricted
        return {
            "name": album.name,
            "uri": f"spotify:album:{album.id}",
            "album_type": album.album_type,
            "release_date": album.release_date,
            "release_date_precision": album.release_date_precision,
            "total_tracks": album.total_tracks,
            "label": None if blank else album.label,
            "popularity": None if blank else album.popularity,
            "upc": None if gone else album.upc,
            "image_url": largest("album", album.id, album.pictures),
            "artists": [self._id("artist", artist) for artist in album.artists],
            "gone": gone,
            "seen_in": sorted(self.albums[number]),
        }

    def _playlists(self) -> list[Document]:
        """List them; `position` counts the rows that are not null, `offset` all rows."""
        rows = [(offset, id_) for offset, id_ in enumerate(self.library.playlists) if id_ is not None]
        return [
            {"position": position, "offset": offset, **self._playlist(self.world.playlists[id_])}
            for position, (offset, id_) in enumerate(rows)
        ]

    def _playlist(self, that: Playlist) -> Document:
        return {
            "id": that.id,
            "name": that.name,
            "description": that.description,
            "owner_id": that.owner_id,
            "owner_name": that.owner_name,
            "public": that.public,
            "collaborative": that.collaborative,
            "snapshot_id": that.snapshot_id(self.world.now()),
            "total_items": len(that.rows),
            "image_url": largest("playlist", that.id, that.pictures),
            "access": self._access(that),
        }

    def _items(self, rows: Iterable[Row]) -> list[Document]:
        return [
            {
                "position": position,
                "kind": row.kind,
                **self._item(row),
                "added_at": iso_or_none(row.added_at),
                "added_by": row.added_by or None,
            }
            for position, row in enumerate(rows)
        ]

    def _item(self, row: Row) -> Document:
        match row.kind:
            case "track":
                track = self.catalogue.track(row.number)
                return {"track_id": track.id, "uri": f"spotify:track:{track.id}", "name": track.name}
            case "local":
                local = self.catalogue.local(row.number)
                return {"track_id": None, "uri": local_uri(local), "name": local.title}
            case "episode":
                episode = self.catalogue.episode(row.number)
                return {"track_id": None, "uri": f"spotify:episode:{episode.id}", "name": episode.name}
        return {"track_id": None, "uri": None, "name": None}
