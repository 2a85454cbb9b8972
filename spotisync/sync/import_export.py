"""Import another spotisync's export: its plays, and the tracks that were saved there once.

Spotify tells what is saved now, so only removed tracks are imported, and never over a row that the account has.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from spotisync.core import exported_rows
from spotisync.core.exported_rows import ExportedPlay, ExportedSave
from spotisync.store import accounts
from spotisync.store import exported_rows as exported
from spotisync.store import plays as stored
from spotisync.store.database import Connection, Database
from spotisync.store.exported_rows import ExportSpool
from spotisync.sync.export_files import ExportFile, open_export

ROWS_PER_COMMIT: Final = 5_000
SKIPPED: Final = ("repeated", "still_saved")
# Called after each commit with the rows imported and the total.
Progress = Callable[[int, int], None]


@dataclass
class ExportSummary:
    """`left_out`: the names of the files that were not imported.

    `skipped`: rows that were in the export twice, and tracks that are still saved there, which a sync reads from
    Spotify.
    """

    account: str
    files: list[str]
    left_out: list[str]
    rows: int = 0
    plays_added: int = 0
    plays_known: int = 0
    removed_added: int = 0
    removed_known: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        stored = self.plays_added + self.plays_known + self.removed_added + self.removed_known
        return stored + self.skipped.total()

    def as_dict(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "files": self.files,
            "files_left_out": self.left_out,
            "rows": self.rows,
            "plays_added": self.plays_added,
            "plays_known": self.plays_known,
            "removed_tracks_added": self.removed_added,
            "removed_tracks_known": self.removed_known,
            "skipped": {why: self.skipped[why] for why in SKIPPED},
        }


def import_export(database: Database, account: str | None, path: Path, progress: Progress) -> ExportSummary:
    """Read all files, then import them. If a row is invalid, raises `Fatal` before anything is stored.

    An import can be repeated, also after an interruption: stored rows are recognised.
    """
    with database.begin() as connection:
        owner = accounts.find_account(connection, account)
    now = datetime.now(UTC)
    with open_export(path) as archive, ExportSpool() as spool:
        summary = ExportSummary(owner.spotify_user_id, [file.entry.name for file in archive.files], archive.left_out)
        for file in archive.files:
            _read(file, spool, summary, now)
        progress(summary.done, summary.rows)
        for plays in spool.plays(ROWS_PER_COMMIT):
            added = database.transact(partial(_store_plays, account_id=owner.id, spool=spool, plays=plays))
            summary.plays_added += added
            summary.plays_known += len(plays) - added
            progress(summary.done, summary.rows)
        for saves in spool.saves(ROWS_PER_COMMIT):
            added = database.transact(partial(_store_removed, account_id=owner.id, saves=saves))
            summary.removed_added += added
            summary.removed_known += len(saves) - added
            progress(summary.done, summary.rows)
    return summary


def _read(file: ExportFile, spool: ExportSpool, summary: ExportSummary, now: datetime) -> None:
    """Add the rows of a file to the spool, and count the others."""
    if file.table == "plays":
        for play in file.parse(partial(exported_rows.parse_play, now=now)):
            summary.rows += 1
            summary.skipped["repeated"] += not spool.add_play(play)
        return
    for save in file.parse(partial(exported_rows.parse_save, now=now)):
        summary.rows += 1
        if save.removed_at is None:
            summary.skipped["still_saved"] += 1
        else:
            summary.skipped["repeated"] += not spool.add_save(save)


def _store_plays(connection: Connection, account_id: int, spool: ExportSpool, plays: list[ExportedPlay]) -> int:
    """Store the plays; return how many are new."""
    stored.lock_plays(connection, account_id)
    rows = [each.play for each in plays]
    similar = stored.find_similar(connection, account_id, rows)
    merged = exported_rows.merge_plays(similar, rows, spool.find_plays(similar))
    exported.save_new_tracks(connection, (each.track for each in plays))
    stored.save_plays(connection, account_id, merged)
    return len(merged.added)


def _store_removed(connection: Connection, account_id: int, saves: list[ExportedSave]) -> int:
    exported.save_new_tracks(connection, (each.track for each in saves))
    return exported.save_removed_tracks(connection, account_id, saves)
