"""Rows of another spotisync's export: sorted in a temporary file, then stored."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from spotisync.core.exported_rows import ExportedPlay, ExportedSave, ExportedTrack
from spotisync.core.parse import EPOCH
from spotisync.core.plays import Key, Play
from spotisync.core.rows import AlbumRow, ArtistRow, CatalogueRows, TrackRow
from spotisync.store import catalogue
from spotisync.store.bulk import dumps
from spotisync.store.database import Connection, execute

MICROSECOND = timedelta(microseconds=1)


class ExportSpool:
    """All rows of an export, without repeated ones: an invalid file is known before anything is stored."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("")  # a file without a name, deleted on close
        self._file.execute(
            """CREATE TABLE plays (at INTEGER, track_id TEXT, source TEXT, ms INTEGER, context TEXT, track TEXT,
                PRIMARY KEY (at, track_id)) WITHOUT ROWID"""
        )
        self._file.execute(
            """CREATE TABLE saves (track_id TEXT PRIMARY KEY, added_at INTEGER, removed_at INTEGER, track TEXT)
            WITHOUT ROWID"""
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add_play(self, row: ExportedPlay) -> bool:
        """Returns whether the row is new."""
        play = row.play
        values = (_to_number(play.played_at), play.track_id, play.source, play.ms_played, play.context_uri)
        found = self._file.execute("INSERT OR IGNORE INTO plays VALUES (?, ?, ?, ?, ?, ?)", (*values, _dump(row.track)))
        return found.rowcount == 1

    def add_save(self, row: ExportedSave) -> bool:
        """Returns whether the row is new."""
        removed_at = _to_number(row.removed_at) if row.removed_at else None
        values = (row.track.track.id, _to_number(row.added_at), removed_at, _dump(row.track))
        return self._file.execute("INSERT OR IGNORE INTO saves VALUES (?, ?, ?, ?)", values).rowcount == 1

    def plays(self, size: int) -> Iterator[list[ExportedPlay]]:
        """Plays by time, up to `size` at once."""
        found = self._file.execute("SELECT * FROM plays ORDER BY at, track_id")
        while rows := found.fetchmany(size):
            yield [
                ExportedPlay(Play(id_, _to_time(at), source, ms, context), _load(track))
                for at, id_, source, ms, context, track in rows
            ]

    def saves(self, size: int) -> Iterator[list[ExportedSave]]:
        """Saved tracks by ID, up to `size` at once."""
        found = self._file.execute("SELECT added_at, removed_at, track FROM saves ORDER BY track_id")
        while rows := found.fetchmany(size):
            yield [
                ExportedSave(_load(track), _to_time(added), None if removed is None else _to_time(removed))
                for added, removed, track in rows
            ]

    def find_plays(self, plays: Iterable[Play]) -> set[Key]:
        """Which of these plays are rows of the export."""
        find = "SELECT 1 FROM plays WHERE at = ? AND track_id = ?"
        return {
            (play.track_id, play.played_at)
            for play in plays
            if self._file.execute(find, (_to_number(play.played_at), play.track_id)).fetchone()
        }


def _dump(track: ExportedTrack) -> str:
    return json.dumps(
        [vars(track.track), [vars(each) for each in track.artists], vars(track.album) if track.album else None]
    )


def _load(dumped: str) -> ExportedTrack:
    track, artists, album = json.loads(dumped)
    ids = track.pop("artist_ids")
    row = TrackRow(**track, artist_ids=None if ids is None else tuple(ids))
    return ExportedTrack(row, tuple(ArtistRow(**each) for each in artists), AlbumRow(**album) if album else None)


def _to_number(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def _to_time(number: int) -> datetime:
    return EPOCH + number * MICROSECOND


def save_new_tracks(connection: Connection, tracks: Iterable[ExportedTrack]) -> None:
    """Store tracks, artists and albums that the catalogue lacks. What it knows, Spotify told, and it stays."""
    rows = CatalogueRows()
    by_id = {each.track.id: each for each in tracks}
    known = _find_known(connection, "tracks", by_id)
    new = [each for id_, each in by_id.items() if id_ not in known]
    known_artists = _find_known(connection, "artists", {artist.id for each in new for artist in each.artists})
    known_albums = _find_known(connection, "albums", {each.album.id for each in new if each.album})
    for each in new:
        rows.add_track(each.track)
        for artist in each.artists:
            if artist.id not in known_artists:
                rows.add_artist(artist)
        if each.album and each.album.id not in known_albums:
            rows.add_album(each.album)
    catalogue.save_rows(connection, rows)


def _find_known(connection: Connection, table: str, ids: Collection[str]) -> set[str]:
    return set(execute(connection, f"SELECT id FROM {table} WHERE id = ANY(:ids)", {"ids": list(ids)}).scalars())


def save_removed_tracks(connection: Connection, account_id: int, saves: Iterable[ExportedSave]) -> int:
    """Store tracks that were saved once, and return how many are new. Any row that the account has stays as it is."""
    rows: list[dict[str, Any]] = [
        {"track_id": each.track.track.id, "added_at": each.added_at, "removed_at": each.removed_at}
        for each in sorted(saves, key=lambda each: each.track.track.id)
    ]
    return execute(
        connection,
        """INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at)
        SELECT :account_id, track_id, added_at, removed_at FROM jsonb_to_recordset(CAST(:rows AS jsonb))
            AS r(track_id text, added_at timestamptz, removed_at timestamptz)
        ON CONFLICT (account_id, track_id) DO NOTHING""",
        {"account_id": account_id, "rows": dumps(rows)},
    ).rowcount
