"""Spotify's extended streaming history into `play_history`."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from spotisync.core import plays, streaming_history
from spotisync.core.rows import CatalogueRows
from spotisync.core.streaming_history import HistoryFileSummary, ImportedPlay
from spotisync.store import accounts, catalogue
from spotisync.store import plays as stored
from spotisync.store.database import Connection, Database
from spotisync.sync.streaming_history import HistoryFile, open_history, scan_file

ROWS_A_COMMIT = 5_000
# Told after each commit: rows that are in, and rows that there are.
Tell = Callable[[int, int], None]


@dataclass
class ImportSummary:
    """What an import came to."""

    account: str
    files: int
    rows: int = 0
    added: int = 0
    known: int = 0
    gaps_closed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "files": self.files,
            "rows": self.rows,
            "plays_added": self.added,
            "plays_known": self.known,
            "skipped": {why: self.skipped[why] for why in streaming_history.SKIPPED},
            "gaps_closed": self.gaps_closed,
        }


def import_history(database: Database, account: str | None, path: Path, tell: Tell) -> ImportSummary:
    """Look all files through, then import them. Raises `Fatal`, and has stored nothing, if one of them is not right.

    It can be done again at any time, and after it was broken off: a play that is known is not stored a second time.
    """
    with database.begin() as connection:
        whose = accounts.find_account(connection, account)
    now = datetime.now(UTC)
    with open_history(path) as files:
        parts = [scan_file(file, now) for file in files]
        done = ImportSummary(whose.spotify_user_id, len(files))
        total = sum(part.rows for part in parts)
        tell(0, total)
        rows_of_all = _rows(files)
        while rows := list(islice(rows_of_all, ROWS_A_COMMIT)):
            _import(database, whose.id, [streaming_history.parse_play(row, now) for row in rows], done)
            tell(done.rows, total)
    done.gaps_closed = database.transact(lambda connection: _close_gaps(connection, whose.spotify_user_id, parts))
    return done


def _rows(files: list[HistoryFile]) -> Iterator[dict[str, Any]]:
    for file in files:
        yield from file.rows()


def _import(
    database: Database, account_id: int, rows: list[ImportedPlay | streaming_history.Skipped], done: ImportSummary
) -> None:
    heard = [row for row in rows if isinstance(row, ImportedPlay)]
    added = database.transact(lambda connection: _store(connection, account_id, heard))
    done.rows += len(rows)
    done.added += added
    done.known += len(heard) - added
    done.skipped.update(row for row in rows if not isinstance(row, ImportedPlay))


def _store(connection: Connection, account_id: int, heard: list[ImportedPlay]) -> int:
    stored.lock_plays(connection, account_id)
    told = [each.play for each in heard]
    settled = plays.merge_reports(stored.find_near(connection, account_id, told), told)
    met = CatalogueRows()
    for track in stored.filter_unknown(connection, (each.track for each in heard)):
        met.add_track(track)
    catalogue.save_rows(connection, met)
    stored.save(connection, account_id, settled.rows)
    return len(settled.added)


def _close_gaps(connection: Connection, account: str, parts: list[HistoryFileSummary]) -> int:
    spans = streaming_history.covered_spans(parts)
    covered = [each.id for each in stored.open_gaps(connection, account) if plays.is_covered(spans, each.gap)]
    return stored.close_gaps(connection, covered)
