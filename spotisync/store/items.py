"""One track, album, artist or playlist as an account knows it: for the pages of single items."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from spotisync.store.database import Connection, execute
from spotisync.store.search import NamedId


@dataclass(frozen=True)
class TrackPage:
    id: str
    name: str | None
    uri: str
    artists: list[NamedId]
    album: NamedId | None
    image_url: str | None
    released_on: date | None
    duration_ms: int | None
    explicit: bool | None
    isrc: str | None
    popularity: int | None


@dataclass(frozen=True)
class Period:
    """A time in which a track was saved. `until`: None while it is."""

    added_at: datetime
    until: datetime | None


@dataclass(frozen=True)
class Place:
    """A place of a track in a playlist, counted from 1."""

    playlist: NamedId
    position: int
    added_at: datetime | None


@dataclass(frozen=True)
class TimedPlay:
    played_at: datetime
    ms_played: int | None


@dataclass(frozen=True)
class ListedTrack:
    """A track in a list of an album or artist. `plays`: how often the account has played it."""

    id: str
    name: str | None
    disc_number: int | None
    track_number: int | None
    duration_ms: int | None
    is_saved: bool
    plays: int
    album: NamedId | None = None


@dataclass(frozen=True)
class AlbumPage:
    id: str
    name: str | None
    uri: str
    artists: list[NamedId]
    image_url: str | None
    album_type: str | None
    released_on: date | None
    total_tracks: int | None
    label: str | None
    upc: str | None
    popularity: int | None
    added_at: datetime | None
    removed_at: datetime | None


@dataclass(frozen=True)
class ArtistPage:
    """`is_followed`: None if the account never followed the artist."""

    id: str
    name: str | None
    uri: str
    image_url: str | None
    genres: list[str] | None
    popularity: int | None
    followers: int | None
    is_followed: bool | None


@dataclass(frozen=True)
class KnownAlbum:
    """An album of an artist, with how many of its tracks are saved."""

    id: str
    name: str | None
    image_url: str | None
    released_on: date | None
    saved: int


@dataclass(frozen=True)
class PlayTotals:
    plays: int
    ms: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True)
class PlaylistPage:
    id: str
    name: str | None
    uri: str
    description: str | None
    owner_name: str | None
    collaborative: bool
    total_items: int | None
    image_url: str | None
    removed_at: datetime | None


@dataclass(frozen=True)
class PlaylistVersion:
    """`number`: from 1, the oldest one that is stored."""

    number: int
    read_at: datetime
    rows: int


@dataclass(frozen=True)
class VersionRow:
    """A row of a playlist; `position` from 0."""

    position: int
    kind: str
    track_id: str | None
    uri: str | None
    name: str | None
    added_at: datetime | None
    artist: str | None = None


def _names(table: str, of: str) -> str:
    return f"""(SELECT COALESCE(jsonb_agg(jsonb_build_array(r.id, r.name) ORDER BY x.position), '[]')
        FROM {table} x JOIN artists r ON r.id = x.artist_id WHERE x.{of}_id = e.id) AS artists"""


def find_track(connection: Connection, id_: str) -> TrackPage | None:
    row = _find(
        connection,
        f"""SELECT e.id, e.name, e.uri, {_names("track_artists", "track")}, b.id AS album_id, b.name AS album,
            b.image_url, b.released_on, e.duration_ms, e.explicit, e.isrc, e.popularity
        FROM tracks e LEFT JOIN albums b ON b.id = e.album_id WHERE e.id = :id""",
        id_,
    )
    return TrackPage(**_with_album(row)) if row else None


def find_album(connection: Connection, account_id: int, id_: str) -> AlbumPage | None:
    row = _find(
        connection,
        f"""SELECT e.id, e.name, e.uri, {_names("album_artists", "album")}, e.image_url, e.album_type, e.released_on,
            e.total_tracks, e.label, e.upc, e.popularity, s.added_at, s.removed_at
        FROM albums e LEFT JOIN saved_albums s ON s.album_id = e.id AND s.account_id = :account_id WHERE e.id = :id""",
        id_,
        account_id,
    )
    return AlbumPage(**_with_artists(row)) if row else None


def find_artist(connection: Connection, account_id: int, id_: str) -> ArtistPage | None:
    row = _find(
        connection,
        """SELECT e.id, e.name, e.uri, e.image_url, e.genres, e.popularity, e.followers,
            CASE WHEN s.artist_id IS NOT NULL THEN s.removed_at IS NULL END AS is_followed
        FROM artists e LEFT JOIN followed_artists s ON s.artist_id = e.id AND s.account_id = :account_id
        WHERE e.id = :id""",
        id_,
        account_id,
    )
    return ArtistPage(**row) if row else None


def find_playlist(connection: Connection, account_id: int, id_: str) -> PlaylistPage | None:
    """None, too, for a playlist that the account never had."""
    row = _find(
        connection,
        """SELECT e.id, e.name, 'spotify:playlist:' || e.id AS uri, e.description, e.owner_name, e.collaborative,
            e.total_items, e.image_url, s.removed_at
        FROM playlists e JOIN account_playlists s ON s.playlist_id = e.id AND s.account_id = :account_id
        WHERE e.id = :id""",
        id_,
        account_id,
    )
    return PlaylistPage(**row) if row else None


def _find(connection: Connection, query: str, id_: str, account_id: int | None = None) -> dict[str, Any] | None:
    row = execute(connection, query, {"id": id_, "account_id": account_id}).mappings().one_or_none()
    return dict(row) if row else None


def _with_artists(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "artists": [NamedId(*each) for each in row["artists"]]}


def _with_album(row: dict[str, Any]) -> dict[str, Any]:
    id_, name = row.pop("album_id"), row.pop("album")
    return {**(_with_artists(row) if "artists" in row else row), "album": NamedId(id_, name) if id_ else None}


# ---- a track --------------------------------------------------------------------------------------------------------


def list_periods(connection: Connection, account_id: int, track_id: str) -> list[Period]:
    """When the track was saved, the latest first.

    A track that an import has stored as removed has no span, nor has one whose history was deleted.
    """
    found = execute(
        connection,
        """WITH spans AS (SELECT added_at, to_at AS until, from_at, id FROM saved_spans
            WHERE account_id = :account_id AND track_id = :id)
        SELECT added_at, until FROM (SELECT * FROM spans
            UNION ALL SELECT added_at, removed_at, added_at, 0 FROM saved_tracks
            WHERE account_id = :account_id AND track_id = :id AND NOT EXISTS (SELECT FROM spans)) p
        ORDER BY from_at DESC, id DESC""",
        {"account_id": account_id, "id": track_id},
    )
    return [Period(**row) for row in found.mappings()]


def list_places(connection: Connection, account_id: int, track_id: str, limit: int) -> list[Place]:
    found = execute(
        connection,
        """SELECT p.id, p.name, i.position + 1 AS position, i.added_at
        FROM playlist_items i JOIN account_playlists s ON s.playlist_id = i.playlist_id
            AND s.account_id = :account_id AND s.removed_at IS NULL
        JOIN playlists p ON p.id = i.playlist_id
        WHERE i.track_id = :id ORDER BY s.position, p.id, i.position LIMIT :limit""",
        {"account_id": account_id, "id": track_id, "limit": limit},
    )
    return [Place(NamedId(row.id, row.name), row.position, row.added_at) for row in found]


def list_plays(connection: Connection, account_id: int, track_id: str, limit: int) -> list[TimedPlay]:
    """The latest plays, the short ones included."""
    found = execute(
        connection,
        """SELECT played_at, ms_played FROM play_history WHERE account_id = :account_id AND track_id = :id
        ORDER BY played_at DESC LIMIT :limit""",
        {"account_id": account_id, "id": track_id, "limit": limit},
    )
    return [TimedPlay(**row) for row in found.mappings()]


# ---- an album, an artist --------------------------------------------------------------------------------------------

_PLAYED = """EXISTS (SELECT FROM saved_tracks s WHERE s.account_id = :account_id AND s.track_id = t.id
        AND s.removed_at IS NULL) AS is_saved, COALESCE(l.plays, 0) AS plays"""
_LISTENED = "LEFT JOIN listened_tracks l ON l.account_id = :account_id AND l.track_id = t.id"


def list_album_tracks(connection: Connection, account_id: int, album_id: str, limit: int) -> list[ListedTrack]:
    """The tracks of the album that are known: those met in a list or a play."""
    found = execute(
        connection,
        f"""SELECT t.id, t.name, t.disc_number, t.track_number, t.duration_ms, {_PLAYED}
        FROM tracks t {_LISTENED} WHERE t.album_id = :id
        ORDER BY t.disc_number, t.track_number, t.id LIMIT :limit""",
        {"account_id": account_id, "id": album_id, "limit": limit},
    )
    return [ListedTrack(**row) for row in found.mappings()]


def list_artist_tracks(connection: Connection, account_id: int, artist_id: str, limit: int) -> list[ListedTrack]:
    """The artist's tracks, the most played first."""
    found = execute(
        connection,
        f"""SELECT t.id, t.name, t.disc_number, t.track_number, t.duration_ms, b.id AS album_id, b.name AS album,
            {_PLAYED}
        FROM track_artists x JOIN tracks t ON t.id = x.track_id {_LISTENED} LEFT JOIN albums b ON b.id = t.album_id
        WHERE x.artist_id = :id ORDER BY plays DESC, is_saved DESC, t.name, t.id LIMIT :limit""",
        {"account_id": account_id, "id": artist_id, "limit": limit},
    )
    return [ListedTrack(**_with_album(dict(row))) for row in found.mappings()]


def list_artist_albums(connection: Connection, account_id: int, artist_id: str, limit: int) -> list[KnownAlbum]:
    """The artist's albums that are known, the latest first."""
    found = execute(
        connection,
        """SELECT b.id, b.name, b.image_url, b.released_on, (SELECT count(*) FROM tracks t JOIN saved_tracks s
                ON s.track_id = t.id AND s.account_id = :account_id AND s.removed_at IS NULL
            WHERE t.album_id = b.id) AS saved
        FROM album_artists x JOIN albums b ON b.id = x.album_id WHERE x.artist_id = :id
        ORDER BY b.released_on DESC NULLS LAST, b.id LIMIT :limit""",
        {"account_id": account_id, "id": artist_id, "limit": limit},
    )
    return [KnownAlbum(**row) for row in found.mappings()]


def count_artist_plays(connection: Connection, account_id: int, artist_id: str) -> PlayTotals:
    return _total(connection, account_id, artist_id, "SELECT track_id FROM track_artists WHERE artist_id = :id")


def count_album_plays(connection: Connection, account_id: int, album_id: str) -> PlayTotals:
    return _total(connection, account_id, album_id, "SELECT id FROM tracks WHERE album_id = :id")


def _total(connection: Connection, account_id: int, id_: str, tracks: str) -> PlayTotals:
    row = execute(
        connection,
        f"""SELECT CAST(COALESCE(sum(plays), 0) AS integer) AS plays, CAST(COALESCE(sum(ms), 0) AS bigint) AS ms,
            min(first_at) AS first_at, max(last_at) AS last_at
        FROM listened_tracks WHERE account_id = :account_id AND track_id = ANY(ARRAY({tracks}))""",
        {"account_id": account_id, "id": id_},
    )
    return PlayTotals(**row.mappings().one())


# ---- a playlist -----------------------------------------------------------------------------------------------------


def list_versions(connection: Connection, playlist_id: str) -> list[PlaylistVersion]:
    """All stored versions of the contents, the oldest first."""
    found = execute(
        connection,
        """SELECT CAST(row_number() OVER (ORDER BY read_at) AS integer) AS number, read_at,
            jsonb_array_length(items) AS rows
        FROM playlist_versions WHERE playlist_id = :id ORDER BY read_at""",
        {"id": playlist_id},
    )
    return [PlaylistVersion(**row) for row in found.mappings()]


def list_items(connection: Connection, playlist_id: str, read_at: datetime) -> list[VersionRow]:
    """The contents of the version that was read at that moment."""
    found = execute(
        connection,
        """SELECT CAST(i->>0 AS integer) AS position, i->>1 AS kind, i->>2 AS track_id, i->>3 AS uri,
            COALESCE(i->>4, t.name) AS name, to_timestamp(CAST(i->>5 AS double precision)) AS added_at,
            (SELECT r.name FROM track_artists x JOIN artists r ON r.id = x.artist_id
                WHERE x.track_id = t.id ORDER BY x.position LIMIT 1) AS artist
        FROM playlist_versions v CROSS JOIN LATERAL jsonb_array_elements(v.items) i
        LEFT JOIN tracks t ON t.id = i->>2
        WHERE v.playlist_id = :id AND v.read_at = :read_at ORDER BY 1""",
        {"id": playlist_id, "read_at": read_at},
    )
    return [VersionRow(**row) for row in found.mappings()]
