"""What an account saved: saved tracks, and the walk over them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.parse import EPOCH
from spotisync.core.rows import NullRow, SavedTrackRow
from spotisync.store import schema
from spotisync.store.bulk import lookup_by_key, upsert

_SAVED = lookup_by_key(schema.saved_tracks, "k.account_id = :account_id AND k.track_id = i.id")
_SEEN = lookup_by_key(schema.seen_tracks, "k.sync_id = :sync_id AND k.track_id = i.id")


def save_tracks(connection: Connection, account_id: int, rows: Sequence[SavedTrackRow]) -> tuple[set[str], set[str]]:
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


def _dated(connection: Connection, account_id: int, rows: Sequence[SavedTrackRow]) -> list[SavedTrackRow]:
    """A row that came without a date keeps the one that is stored."""
    undated = [row.track_id for row in rows if row.added_at == EPOCH]
    if not undated:
        return list(rows)
    stored = connection.execute(
        text("SELECT track_id, added_at FROM saved_tracks WHERE account_id = :account_id AND track_id = ANY(:ids)"),
        {"account_id": account_id, "ids": undated},
    )
    dates = {row.track_id: row.added_at for row in stored}
    return [
        SavedTrackRow(row.track_id, dates.get(row.track_id, EPOCH)) if row.added_at == EPOCH else row for row in rows
    ]


def mark_seen(
    connection: Connection, sync_id: int, account_id: int, rows: Sequence[SavedTrackRow]
) -> tuple[set[str], list[SavedTrackRow]]:
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


def mark_nulls_seen(connection: Connection, sync_id: int, rows: Sequence[NullRow]) -> None:
    if rows:
        upsert(connection, schema.seen_nulls, [{"sync_id": sync_id, **vars(row)} for row in dict.fromkeys(rows)])


def count_nulls_seen(connection: Connection, sync_id: int) -> dict[datetime, int]:
    """The null rows that the walk has met, by date."""
    found = connection.execute(
        text("SELECT added_at, count(*) AS rows FROM seen_nulls WHERE sync_id = :sync_id GROUP BY added_at"),
        {"sync_id": sync_id},
    )
    return {row.added_at: row.rows for row in found}


def get_last_nulls(connection: Connection, account_id: int) -> dict[datetime, NullCount] | None:
    """The null rows of the last proved walk; None if there was none."""
    walked = connection.execute(
        text("SELECT walked_total IS NOT NULL FROM accounts WHERE id = :account_id"), {"account_id": account_id}
    ).scalar_one()
    if not walked:
        return None
    found = connection.execute(
        text("SELECT added_at, rows, idle FROM null_rows WHERE account_id = :account_id"), {"account_id": account_id}
    )
    return {row.added_at: NullCount(row.rows, row.idle) for row in found}


# What the walk has not met, and nobody wrote since it began.
_UNSEEN = """s.account_id = :account_id AND s.removed_at IS NULL AND s.touched_at < :since AND NOT EXISTS (
    SELECT 1 FROM seen_tracks m WHERE m.sync_id = :sync_id AND m.track_id = s.track_id)"""


def find_unseen(
    connection: Connection, sync_id: int, account_id: int, since: datetime, grown: Sequence[datetime]
) -> list[SuspectRow]:
    """What the walk has not met (at a date with new null rows: or has), and what it has met though it was hidden."""
    bound = {"account_id": account_id, "since": since, "sync_id": sync_id, "grown": list(grown)}
    missing = connection.execute(
        text(
            f"""SELECT s.track_id, s.hidden_since IS NOT NULL, s.added_at, false FROM saved_tracks s
            WHERE {_UNSEEN} OR s.account_id = :account_id AND s.removed_at IS NULL
            AND s.hidden_since IS NULL AND s.added_at = ANY(CAST(:grown AS timestamptz[]))"""
        ),
        bound,
    )
    shown = connection.execute(
        text(
            """SELECT s.track_id, true, s.added_at, true FROM saved_tracks s
            JOIN seen_tracks m ON m.sync_id = :sync_id AND m.track_id = s.track_id
            WHERE s.account_id = :account_id AND s.hidden_since IS NOT NULL"""
        ),
        bound,
    )
    return [SuspectRow(*row) for row in (*missing, *shown)]


def remove_unseen(
    connection: Connection, sync_id: int, account_id: int, since: datetime, hidden: Collection[str] = ()
) -> int:
    """The walk is proved: what it has not met is no longer saved, but for what a null row may hide."""
    bound = {"account_id": account_id, "since": since, "sync_id": sync_id, "hidden": sorted(hidden)}
    removed = connection.execute(
        text(
            f"""UPDATE saved_tracks s SET removed_at = now(), touched_at = now()
            WHERE {_UNSEEN} AND s.track_id <> ALL(:hidden)"""
        ),
        bound,
    ).rowcount
    connection.execute(
        text(
            """UPDATE saved_tracks SET hidden_since = CASE WHEN track_id = ANY(:hidden) THEN now() END
            WHERE account_id = :account_id AND (hidden_since IS NOT NULL) <> (track_id = ANY(:hidden))"""
        ),
        bound,
    )
    connection.execute(text("DELETE FROM seen_tracks WHERE sync_id = :sync_id"), bound)
    connection.execute(text("DELETE FROM seen_nulls WHERE sync_id = :sync_id"), bound)
    return removed


def record_walk(connection: Connection, account_id: int, total: int, nulls: Mapping[datetime, NullCount]) -> None:
    """What a proved walk tells later comparisons: of Spotify's total, how much is no row of ours."""
    bound = {"account_id": account_id, "total": total}
    connection.execute(
        text(
            """UPDATE accounts SET tracks_proved_at = now(), walked_total = :total, walked_excess = :total - (
                SELECT count(*) FROM saved_tracks WHERE account_id = :account_id AND removed_at IS NULL)
            WHERE id = :account_id"""
        ),
        bound,
    )
    connection.execute(text("DELETE FROM null_rows WHERE account_id = :account_id"), bound)
    upsert(
        connection,
        schema.null_rows,
        [{"account_id": account_id, "added_at": added_at, **vars(those)} for added_at, those in nulls.items()],
    )


def get_walk_start(connection: Connection, sync_id: int) -> datetime:
    found = connection.execute(text("SELECT started_at FROM sync_history WHERE id = :id"), {"id": sync_id})
    began: datetime = found.scalar_one()
    return began
