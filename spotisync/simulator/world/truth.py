"""The truth about one account: what the tables hold after a correct sync, in Spotify's terms."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from spotisync.simulator.world.catalogue import Album, Artist, Track, pick
from spotisync.simulator.world.library import Library, Playlist, PlaylistItem
from spotisync.simulator.world.pictures import largest
from spotisync.simulator.world.state import WorldState, milliseconds_played
from spotisync.simulator.world.times import iso, iso_ms, iso_or_none

Document = dict[str, Any]


class Truth:
    """Collects the objects that an account's pages mention, and by which kind of page (`seen_in`)."""

    def __init__(self, world: WorldState, library: Library, *, restricted: bool) -> None:
        self.world, self.library, self.restricted = world, library, restricted
        self.catalogue = world.catalogue
        self._listed = world.listed_playlists(library, restricted=restricted)
        self._books = library.books if library.has_books else []
        self.tracks: dict[int, Track] = {}
        self.albums: dict[int, Album] = {}
        self.artists: dict[int, Artist] = {}
        self.seen_in: defaultdict[str, set[str]] = defaultdict(set)

    def document(self) -> Document:
        readable = [each for each in self._playlists_in_list() if self._access(each) == "ok"]
        self._collect(readable)
        saved: dict[int, int] = {}
        for added, track in self.library.saved:
            if track >= 0:
                saved[track] = max(added, saved.get(track, added))
        return {
            "account": self.library.id,
            "account_id": self.library.account_id,
            "regime": "restricted" if self.restricted else "full",
            "totals": self._totals(),
            "saved_tracks": [{"track_id": self.tracks[each].id, "added_at": iso(at)} for each, at in saved.items()],
            "tracks": {each.id: self._track(each) for each in self.tracks.values()},
            "track_artists": {each.id: self._artist_ids(each.artists) for each in self.tracks.values()},
            "artists": {each.id: self._artist(each) for each in self.artists.values()},
            "albums": {each.id: self._album(each) for each in self.albums.values()},
            "playlists": self._playlists(),
            "playlist_items": {each.id: self._items(each.rows) for each in readable},
            "saved_albums": [
                {"album_id": self.albums[album].id, "added_at": iso(at)}
                for at, album in self.library.albums
                if album is not None
            ],
            **self._spoken(),
            "followed_artists": [id_ for id_, _ in self.library.followed],
            "plays": self._plays(),
            "top_items": {
                f"{kind} {time_range}": [
                    self.catalogue.ids.of(kind.removesuffix("s"), each)
                    for each in self.world.top(self.library, kind, time_range)[:50]
                ]
                for kind in ("artists", "tracks")
                for time_range in ("short_term", "medium_term", "long_term")
            },
            "plays_visible": len(self.library.visible_plays()),
            "vanished": self._vanished(readable),
        }

    def _plays(self) -> list[Document]:
        return [
            {
                "played_at": iso_ms(each.played_at),
                "track_id": self.catalogue.track(each.track).id,
                "ms_played": milliseconds_played(self.catalogue, each),
            }
            for each in self.library.plays
        ]

    def _vanished(self, readable: Iterable[Playlist]) -> Document:
        """What Spotify no longer lets the account play: greyed out, hidden, or a row without its track."""
        listed = {number for number, track in self.tracks.items() if self.seen_in[track.id] & {"saved", "playlist"}}
        hidden = {track for _, track in self.library.saved} & self.library.hidden.keys()
        return {
            "unplayable": sorted(self.tracks[each].id for each in self.catalogue.unplayable.keys() & listed),
            "hidden_tracks": sorted(self.tracks[each].id for each in hidden),
            "hidden_albums": sorted(self.albums[each].id for each in self.library.hidden_albums),
            "items": [
                [playlist.id, position]
                for playlist in readable
                for position, row in enumerate(playlist.rows)
                if row.kind == "unavailable"
            ],
        }

    def _playlists_in_list(self) -> list[Playlist]:
        return [self.world.playlists[id_] for id_ in self._listed if id_ is not None]

    def _access(self, playlist: Playlist) -> str:
        return self.library.access(playlist, restricted=self.restricted)

    def _totals(self) -> Document:
        """Return the totals that Spotify reports, which include null rows and twins."""
        lists = {
            "saved_tracks": len(self.library.saved),
            "saved_albums": len(self.library.albums),
            "saved_shows": len(self.library.shows),
            "saved_episodes": len(self.library.episodes),
            "saved_audiobooks": len(self._books),
            "playlists": len(self._listed),
            "followed_artists": len(self.library.followed),
        }
        return lists | {"playlist_items": {each.id: len(each.rows) for each in self._playlists_in_list()}}

    def _spoken(self) -> Document:
        """Return the saved shows, of which some are audiobooks, the episodes and the audiobooks, with their objects."""
        shows = {number: at for at, number in self.library.shows if number is not None}
        episodes = {number: at for at, number in self.library.episodes if number is not None}
        books = [number for number in self._books if number is not None]
        known = [self.catalogue.episode(number) for number in episodes]
        met = [self.catalogue.show(number) for number in {**shows, **{each.show: 0 for each in known}}]
        id_of = self.catalogue.ids.of
        return {
            "saved_shows": [{"show_id": id_of("show", each), "added_at": iso(at)} for each, at in shows.items()],
            "saved_episodes": [
                {"episode_id": id_of("episode", each), "added_at": iso(at)} for each, at in episodes.items()
            ],
            "saved_audiobooks": [{"audiobook_id": id_of("show", each), "added_at": iso(shows[each])} for each in books],
            "shows": {each.id: {"name": each.name, "is_audiobook": bool(each.authors)} for each in met},
            "episodes": {each.id: pick(each, "name", "show_id", "duration_ms") for each in known},
            "audiobooks": {
                each.id: {**pick(each, "name"), "authors": [*each.authors], "narrators": [*each.narrators]}
                for each in map(self.catalogue.show, books)
            },
        }

    def _collect(self, readable: Iterable[Playlist]) -> None:
        in_playlists = (row.number for playlist in readable for row in playlist.rows if row.kind == "track")
        self._add_tracks((track for _, track in self.library.saved if track >= 0), "saved")
        self._add_tracks(in_playlists, "playlist")
        self._add_tracks((each.track for each in self.library.visible_plays()), "play")
        for _, album in self.library.albums:
            if album is not None:
                self._add_album(album, "saved_album")
        for _, artist in self.library.followed:
            self._add_artist(artist, "followed")

    def _add_tracks(self, numbers: Iterable[int], where: str) -> None:
        for number in numbers:
            self._add_track(number, where)

    def _add_track(self, number: int, where: str) -> None:
        track = self.tracks.get(number) or self.catalogue.track(number)
        if where in self.seen_in[track.id]:
            return
        self.tracks[number] = track
        self.seen_in[track.id].add(where)
        for artist in track.artists:
            self._add_artist(artist, where)
        self._add_album(track.album, where)

    def _add_album(self, number: int, where: str) -> None:
        album = self.albums[number] = self.albums.get(number) or self.catalogue.album(number)
        self.seen_in[album.id].add(where)
        for artist in album.artists:
            self._add_artist(artist, where)

    def _add_artist(self, number: int, where: str) -> None:
        artist = self.artists[number] = self.artists.get(number) or self.catalogue.artist(number)
        self.seen_in[artist.id].add(where)

    def _artist_ids(self, numbers: Iterable[int]) -> list[str]:
        return [self.artists[number].id for number in numbers]

    def _track(self, track: Track) -> Document:
        return {
            **pick(track, "name", "duration_ms", "explicit", "disc_number", "track_number", "isrc"),
            "uri": f"spotify:track:{track.id}",
            "album_id": self.albums[track.album].id,
            "popularity": None if self.restricted else track.popularity,
            "seen_in": sorted(self.seen_in[track.id]),
        }

    def _artist(self, artist: Artist) -> Document:
        gone = self.catalogue.is_gone("artist", artist.number)
        blank = gone or self.restricted
        return {
            "name": artist.name,
            "uri": f"spotify:artist:{artist.id}",
            "genres": None if blank else list(artist.genres),
            "popularity": None if blank else artist.popularity,
            "followers": None if blank else artist.followers,
            "image_url": None if gone else largest("artist", artist.id, artist.pictures),
            "gone": gone,
            "seen_in": sorted(self.seen_in[artist.id]),
        }

    def _album(self, album: Album) -> Document:
        gone = self.catalogue.is_gone("album", album.number)
        blank = gone or self.restricted
        return {
            **pick(album, "name", "album_type", "release_date", "release_date_precision", "total_tracks"),
            "uri": f"spotify:album:{album.id}",
            "label": None if blank else album.label,
            "popularity": None if blank else album.popularity,
            "upc": None if gone else album.upc,
            "image_url": largest("album", album.id, album.pictures),
            "artists": self._artist_ids(album.artists),
            "gone": gone,
            "seen_in": sorted(self.seen_in[album.id]),
        }

    def _playlists(self) -> list[Document]:
        """List the playlists; `position` counts the rows that are not null, `offset` all rows."""
        rows = [(offset, id_) for offset, id_ in enumerate(self._listed) if id_ is not None]
        return [
            {"position": position, "offset": offset, **self._playlist(self.world.playlists[id_])}
            for position, (offset, id_) in enumerate(rows)
        ]

    def _playlist(self, playlist: Playlist) -> Document:
        return {
            **pick(playlist, "id", "name", "description", "owner_id", "owner_name", "public", "collaborative"),
            "snapshot_id": playlist.snapshot_id(self.world.now()),
            "total_items": len(playlist.rows),
            "image_url": largest("playlist", playlist.id, playlist.pictures),
            "access": self._access(playlist),
        }

    def _items(self, rows: Iterable[PlaylistItem]) -> list[Document]:
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

    def _item(self, row: PlaylistItem) -> Document:
        match row.kind:
            case "track":
                track = self.catalogue.track(row.number)
                return {"track_id": track.id, "uri": f"spotify:track:{track.id}", "name": track.name}
            case "local":
                local = self.catalogue.local(row.number)
                return {"track_id": None, "uri": local.uri, "name": local.title}
            case "episode":
                episode = self.catalogue.episode(row.number)
                return {"track_id": None, "uri": f"spotify:episode:{episode.id}", "name": episode.name}
        return {"track_id": None, "uri": None, "name": None}
