"""Playlists and saved tracks, as they are written to playlist files."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text

from spotisync.core.playlist_files import PlaylistEntry, PlaylistHeading
from spotisync.store.database import Connection, execute

ROWS_PER_READ = 1_000
_ENTRY = """SELECT {uri} AS uri, COALESCE(t.name, {name}) AS name,
        ARRAY(SELECT a.name FROM track_artists x JOIN artists a ON a.id = x.artist_id
            WHERE x.track_id = t.id ORDER BY x.position) AS artists,
        b.name AS album, t.duration_ms, t.track_number, s.added_at"""
_SAVED = f"""{_ENTRY.format(uri="t.uri", name="NULL")}
    FROM saved_tracks s JOIN tracks t ON t.id = s.track_id LEFT JOIN albums b ON b.id = t.album_id
    WHERE s.account_id = :account_id AND s.removed_at IS NULL ORDER BY s.added_at DESC, s.track_id"""
# An unavailable item has no URI.
_ITEMS = f"""{_ENTRY.format(uri="COALESCE(s.uri, t.uri)", name="s.name")}
    FROM playlist_items s LEFT JOIN tracks t ON t.id = s.track_id LEFT JOIN albums b ON b.id = t.album_id
    WHERE s.playlist_id = :playlist_id AND COALESCE(s.uri, t.uri) IS NOT NULL ORDER BY s.position"""


@dataclass(frozen=True)
class StoredPlaylist:
    """A playlist of an account. `unread`: why its contents are not stored, or None if they are."""

    heading: PlaylistHeading
    unread: str | None


def list_playlists(connection: Connection, account_id: int) -> list[StoredPlaylist]:
    """The playlists that the account has now, in Spotify's order."""
    found = execute(
        connection,
        """SELECT p.id, p.name, p.description, COALESCE(p.owner_name, p.owner_id) AS owner, p.image_url, s.items_status,
            p.items_snapshot_id IS NOT NULL OR p.total_items = 0
                OR EXISTS (SELECT 1 FROM playlist_items i WHERE i.playlist_id = p.id) AS is_read
        FROM account_playlists s JOIN playlists p ON p.id = s.playlist_id
        WHERE s.account_id = :account_id AND s.removed_at IS NULL ORDER BY s.position, s.playlist_id""",
        {"account_id": account_id},
    )
    return [
        StoredPlaylist(
            PlaylistHeading(row.id, row.name, row.description, row.owner, row.image_url),
            None if row.is_read else row.items_status,
        )
        for row in found
    ]


def iter_entries(connection: Connection, account_id: int, playlist_id: str | None) -> Iterator[PlaylistEntry]:
    """The entries of a playlist in order; without an ID, the saved tracks, newest first."""
    values = {"account_id": account_id} if playlist_id is None else {"playlist_id": playlist_id}
    statement = text(_SAVED if playlist_id is None else _ITEMS)
    for row in connection.execute(statement, values, execution_options={"yield_per": ROWS_PER_READ}):
        yield PlaylistEntry(
            row.uri, row.name, tuple(row.artists), row.album, row.duration_ms, row.track_number, row.added_at
        )
