"""What an account saved: saved tracks, and the walk over them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from spotisync.core.parse import EPOCH
from spotisync.core.rows import SavedTrack
from spotisync.store import schema
from spotisync.store.bulk import one_by_one, upsert

_SAVED = one_by_one(schema.saved_tracks, "k.account_id = :account_id AND k.track_id = i.id")
_SEEN = one_by_one(schema.seen_tracks, "k.sync_id = :sync_id AND k.track_id = i.id")


def save_tracks(connection: Connection, account_id: int, rows: Sequence[SavedTrack]) -> tuple[set[str], set[str]]:
    """Saved tracks as listed; one that had been removed is saved again. Returns the ids added and changed."""
    if not rows:
        return set(), set()
    rows = _dated(connection, account_id, rows)
    back = set(
        connection.execute(
            text(
                f"""SELECT s.track_id FROM unnest(CAST(:ids AS text[])) AS i(id), {_SAVED} AS s
                WHERE s.removed_at IS NOT NULL"""
            ),
            {"account_id": account_id, "ids": [row.track_id for row in rows]},
        ).scalars()
    )
    inserted, updated = upsert(
        connection,
        schema.saved_tracks,
        [
            {"account_id": account_id, "track_id": row.track_id, "added_at": row.added_at, "removed_at": None}
            for row in rows
        ],
        keep_unknown=False,
        also="touched_at = now()",
    )
    added = {track_id for _, track_id in inserted} | back
    return added, {track_id for _, track_id in updated} - added


def _dated(connection: Connection, account_id: int, rows: Sequence[SavedTrack]) -> list[SavedTrack]:
    """A row that came without a date keeps the one that is stored."""
    undated = [row.track_id for row in rows if row.added_at == EPOCH]
    if not undated:
        return list(rows)
    stored = connection.execute(
        text("SELECT track_id, added_at FROM saved_tracks WHERE account_id = :account_id AND track_id = ANY(:ids)"),
        {"account_id": account_id, "ids": undated},
    )
    dates = {row.track_id: row.added_at for row in stored}
    return [SavedTrack(row.track_id, dates.get(row.track_id, EPOCH)) if row.added_at == EPOCH else row for row in rows]


def see(
    connection: Connection, sync_id: int, account_id: int, rows: Sequence[SavedTrack]
) -> tuple[set[str], list[SavedTrack]]:
    """Note what the walk has met. Returns the ids met for the first time, and the rows to write.

    A track can be in the list twice (relinking makes twins): the newest row counts, in whatever order they come.
    """
    ids = [row.track_id for row in rows]
    met_before = connection.execute(
        text(f"SELECT m.track_id, s.added_at FROM unnest(CAST(:ids AS text[])) AS i(id), {_SEEN} AS m, {_SAVED} AS s"),
        {"sync_id": sync_id, "account_id": account_id, "ids": ids},
    )
    newest = {row.track_id: row.added_at for row in met_before}
    connection.execute(
        text(
            """INSERT INTO seen_tracks (sync_id, track_id)
            SELECT :sync_id, id FROM unnest(CAST(:ids AS text[])) AS id ORDER BY id ON CONFLICT DO NOTHING"""
        ),
        {"sync_id": sync_id, "ids": ids},
    )
    rows_to_write = [row for row in rows if row.track_id not in newest or row.added_at > newest[row.track_id]]
    return set(ids) - set(newest), rows_to_write


def remove_unseen(connection: Connection, sync_id: int, account_id: int, since: datetime) -> int:
    """The walk is proved: what it has not met, and nobody wrote since it began, is no longer saved."""
    removed = connection.execute(
        text(
            """UPDATE saved_tracks s SET removed_at = now(), touched_at = now()
            WHERE s.account_id = :account_id AND s.removed_at IS NULL AND s.touched_at < :since AND NOT EXISTS (
                SELECT 1 FROM seen_tracks m WHERE m.sync_id = :sync_id AND m.track_id = s.track_id)"""
        ),
        {"account_id": account_id, "since": since, "sync_id": sync_id},
    ).rowcount
    connection.execute(text("DELETE FROM seen_tracks WHERE sync_id = :sync_id"), {"sync_id": sync_id})
    return removed


def walk_began(connection: Connection, sync_id: int) -> datetime:
    found = connection.execute(text("SELECT started_at FROM sync_history WHERE id = :id"), {"id": sync_id})
    began: datetime = found.scalar_one()
    return began
