"""Import Spotify's streaming history into `play_history`."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from spotisync.core import plays, streaming_history
from spotisync.core.plays import MergedPlays, Play
from spotisync.core.rows import CatalogueRows
from spotisync.core.streaming_history import HistoryFileSummary, ImportedPlay, NamedPlay
from spotisync.store import accounts, catalogue
from spotisync.store import plays as stored
from spotisync.store.database import Connection, Database
from spotisync.store.play_spool import PlaySpool
from spotisync.sync.streaming_history import HistoryFile, open_history

ROWS_PER_READ = 1_000
ROWS_PER_COMMIT = 5_000
# Called after each commit with the rows imported and the total.
Progress = Callable[[int, int], None]


@dataclass
class ImportSummary:
    """`left_out`: the names of the files that were not imported."""

    account: str
    files: int
    left_out: list[str]
    rows: int = 0
    added: int = 0
    known: int = 0
    gaps_closed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return self.added + self.known + self.skipped.total()

    def count(self, plays: int, added: int) -> None:
        self.added += added
        self.known += plays - added

    def as_dict(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "files": self.files,
            "files_left_out": self.left_out,
            "rows": self.rows,
            "plays_added": self.added,
            "plays_known": self.known,
            "skipped": {why: self.skipped[why] for why in streaming_history.SKIPPED},
            "gaps_closed": self.gaps_closed,
        }


def import_history(database: Database, account: str | None, path: Path, progress: Progress) -> ImportSummary:
    """Read all files, then import them. If one is invalid, raises `Fatal` before anything is stored.

    An import can be repeated, also after an interruption: stored plays are recognised.
    """
    with database.begin() as connection:
        owner = accounts.find_account(connection, account)
    now = datetime.now(UTC)
    with open_history(path) as archive, PlaySpool() as spool:
        summary = ImportSummary(owner.spotify_user_id, len(archive.files), archive.left_out)
        files = [_read(file, spool, summary, now) for file in archive.files]
        progress(summary.done, summary.rows)
        for imported in spool.imported(ROWS_PER_COMMIT):
            added = database.transact(partial(_store, account_id=owner.id, imported=imported))
            summary.count(len(imported), added)
            progress(summary.done, summary.rows)
        for named in spool.named(ROWS_PER_COMMIT):
            matched, added = database.transact(partial(_store_named, account_id=owner.id, named=named))
            summary.count(matched, added)
            summary.skipped["unmatched"] += len(named) - matched
            progress(summary.done, summary.rows)
    summary.gaps_closed = database.transact(lambda connection: _close_gaps(connection, owner.spotify_user_id, files))
    return summary


def _read(file: HistoryFile, spool: PlaySpool, summary: ImportSummary, now: datetime) -> HistoryFileSummary:
    """Add the plays of a file to the spool, and count its other rows."""
    found, members = HistoryFileSummary(file.name, file.number), file.rows()
    while rows := list(islice(members, ROWS_PER_READ)):
        for row in rows:
            found.add(streaming_history.parse_stopped_at(row, now))
        parsed = [streaming_history.parse_play(row, now) for row in rows]
        spool.add(each for each in parsed if not isinstance(each, str))
        summary.skipped.update(each for each in parsed if isinstance(each, str))
        summary.rows += len(rows)
    return found


def _store(connection: Connection, account_id: int, imported: list[ImportedPlay]) -> int:
    stored.lock_plays(connection, account_id)
    merged = _merge(connection, account_id, [each.play for each in imported])
    rows = CatalogueRows()
    for track in stored.filter_new_tracks(connection, (each.track for each in imported)):
        rows.add_track(track)
    catalogue.save_rows(connection, rows)
    stored.save_plays(connection, account_id, merged)
    return len(merged.added)


def _store_named(connection: Connection, account_id: int, named: list[NamedPlay]) -> tuple[int, int]:
    """Return how many plays match a known track, and how many of these are new."""
    stored.lock_plays(connection, account_id)
    track_ids = stored.find_tracks_by_names(connection, {each.names for each in named})
    reports = [each.as_play(track_ids[each.names]) for each in named if each.names in track_ids]
    merged = _merge(connection, account_id, reports)
    stored.save_plays(connection, account_id, merged)
    return len(reports), len(merged.added)


def _merge(connection: Connection, account_id: int, reports: list[Play]) -> MergedPlays:
    return plays.merge_reports(stored.find_similar(connection, account_id, reports), reports)


def _close_gaps(connection: Connection, account: str, files: Iterable[HistoryFileSummary]) -> int:
    spans = streaming_history.covered_spans(files)
    covered = [each.id for each in stored.list_open_gaps(connection, account) if plays.is_covered(spans, each.gap)]
    return stored.close_gaps(connection, covered)
