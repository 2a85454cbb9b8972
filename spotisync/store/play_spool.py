"""The plays of an import, sorted by time in a temporary file: the files can be shuffled, and larger than memory."""

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from spotisync.core.parse import EPOCH
from spotisync.core.plays import Play
from spotisync.core.rows import TrackRow
from spotisync.core.streaming_history import ImportedPlay, NamedPlay

MICROSECOND = timedelta(microseconds=1)


class PlaySpool:
    def __init__(self) -> None:
        self._file = sqlite3.connect("")  # a file without a name, deleted on close
        self._file.execute("CREATE TABLE imported (at INTEGER, track_id TEXT, ms INTEGER, name TEXT, uri TEXT)")
        self._file.execute("CREATE TABLE named (at INTEGER, track TEXT, artist TEXT, ms INTEGER)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, plays: Iterable[ImportedPlay | NamedPlay]) -> None:
        imported, named = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
        for each in plays:
            if isinstance(each, NamedPlay):
                named.append((_to_number(each.ended_at), each.track, each.artist, each.ms_played))
            else:
                play, track = each.play, each.track
                imported.append((_to_number(play.played_at), play.track_id, play.ms_played, track.name, track.uri))
        self._file.executemany("INSERT INTO imported VALUES (?, ?, ?, ?, ?)", imported)
        self._file.executemany("INSERT INTO named VALUES (?, ?, ?, ?)", named)

    def imported(self, size: int) -> Iterator[list[ImportedPlay]]:
        """Plays with a track id, up to `size` at a time; of those at one time the longest first."""
        for rows in self._sorted("SELECT * FROM imported ORDER BY at, track_id, ms DESC", size):
            yield [
                ImportedPlay(Play(id_, _to_time(at), "import", ms), TrackRow(id_, name, uri))
                for at, id_, ms, name, uri in rows
            ]

    def named(self, size: int) -> Iterator[list[NamedPlay]]:
        """Plays of the account data, in the same way."""
        for rows in self._sorted("SELECT * FROM named ORDER BY at, track, artist, ms DESC", size):
            yield [NamedPlay(track, artist, _to_time(at), ms) for at, track, artist, ms in rows]

    def _sorted(self, query: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        found = self._file.execute(query)
        while rows := found.fetchmany(size):
            yield rows


def _to_number(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def _to_time(number: int) -> datetime:
    return EPOCH + number * MICROSECOND
