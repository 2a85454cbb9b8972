"""Import Spotify's extended streaming history into `play_history`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from spotisync.core import plays, streaming_history
from spotisync.core.rows import CatalogueRows
from spotisync.core.streaming_history import HistoryFileSummary, ImportedPlay
from spotisync.store import accounts, catalogue
from spotisync.store import plays as stored
from spotisync.store.database import Connection, Database
from spotisync.sync.streaming_history import open_history, scan_file

ROWS_PER_COMMIT = 5_000
# Called after each commit with the rows imported and the total.
Progress = Callable[[int, int], None]


@dataclass
class ImportSummary:
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


def import_history(database: Database, account: str | None, path: Path, progress: Progress) -> ImportSummary:
    """Check all files, then import them. If one is invalid, raises `Fatal` before anything is stored.

    An import can be repeated, also after an interruption: stored plays are recognised.
    """
    with database.begin() as connection:
        owner = accounts.find_account(connection, account)
    now = datetime.now(UTC)
    with open_history(path) as files:
        summaries = [scan_file(file, now) for file in files]
        done = ImportSummary(owner.spotify_user_id, len(files))
        total = sum(each.rows for each in summaries)
        progress(0, total)
        all_rows = chain.from_iterable(file.rows() for file in files)
        while rows := list(islice(all_rows, ROWS_PER_COMMIT)):
            _import(database, owner.id, [streaming_history.parse_play(row, now) for row in rows], done)
            progress(done.rows, total)
    done.gaps_closed = database.transact(lambda connection: _close_gaps(connection, owner.spotify_user_id, summaries))
    return done


def _import(
    database: Database, account_id: int, rows: list[ImportedPlay | streaming_history.Skipped], done: ImportSummary
) -> None:
    imported = [row for row in rows if isinstance(row, ImportedPlay)]
    added = database.transact(lambda connection: _store(connection, account_id, imported))
    done.rows += len(rows)
    done.added += added
    done.known += len(imported) - added
    done.skipped.update(row for row in rows if not isinstance(row, ImportedPlay))


def _store(connection: Connection, account_id: int, imported: list[ImportedPlay]) -> int:
    stored.lock_plays(connection, account_id)
    reports = [each.play for each in imported]
    merged = plays.merge_reports(stored.find_similar(connection, account_id, reports), reports)
    rows = CatalogueRows()
    for track in stored.filter_new_tracks(connection, (each.track for each in imported)):
        rows.add_track(track)
    catalogue.save_rows(connection, rows)
    stored.save_plays(connection, account_id, merged)
    return len(merged.added)


def _close_gaps(connection: Connection, account: str, summaries: list[HistoryFileSummary]) -> int:
    spans = streaming_history.covered_spans(summaries)
    covered = [each.id for each in stored.list_open_gaps(connection, account) if plays.is_covered(spans, each.gap)]
    return stored.close_gaps(connection, covered)
