"""What an incremental knows of an account's saved tracks, what it has read of Spotify's list, and what came of it."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, text

from spotisync.core.bisection import Expected, ListRow
from spotisync.core.incremental import KnownLibrary, LibraryChanges, PlacedRow, truncate_to_minute
from spotisync.core.parse import EPOCH
from spotisync.core.rows import SavedTrackRow
from spotisync.store import schema
from spotisync.store.bulk import upsert


def load_library(connection: Connection, account_id: int, sync_id: int) -> KnownLibrary:
    walked, patrol = connection.execute(
        text("SELECT walked_total IS NOT NULL, patrol_offset FROM accounts WHERE id = :id"), {"id": account_id}
    ).one()
    saved = connection.execute(
        text(
            """SELECT track_id, added_at, hidden_since IS NOT NULL AS hidden FROM saved_tracks
            WHERE account_id = :id AND removed_at IS NULL"""
        ),
        {"id": account_id},
    ).all()
    entries = [ListRow(truncate_to_minute(row.added_at), row.track_id) for row in saved if not row.hidden]
    return KnownLibrary(
        expected=Expected([*entries, *_excess(connection, account_id)]),
        read=_read(connection, sync_id),
        patrol=patrol,
        walked=walked and all(row.added_at > EPOCH for row in saved),
        newest=max((row.added_at for row in saved), default=None),
        hidden={row.track_id: truncate_to_minute(row.added_at) for row in saved if row.hidden},
    )


def _excess(connection: Connection, account_id: int) -> list[ListRow]:
    rows = connection.execute(
        text("SELECT minute, rows FROM excess_rows WHERE account_id = :id"), {"id": account_id}
    ).all()
    return [ListRow(row.minute, None) for row in rows for _ in range(row.rows)]


def _read(connection: Connection, sync_id: int) -> dict[int, ListRow]:
    rows = connection.execute(
        text("SELECT place, track_id, added_at FROM read_rows WHERE sync_id = :id"), {"id": sync_id}
    )
    return {row.place: ListRow(truncate_to_minute(row.added_at), row.track_id) for row in rows}


def save_read_rows(connection: Connection, sync_id: int, account_id: int, rows: Sequence[PlacedRow]) -> None:
    """Rows of the list, at their places. A track that is shown again is not hidden any more."""
    upsert(connection, schema.read_rows, [{"sync_id": sync_id, **vars(row)} for row in rows])
    connection.execute(
        text(
            """UPDATE saved_tracks SET hidden_since = NULL
            WHERE account_id = :account_id AND hidden_since IS NOT NULL AND track_id = ANY(:ids)"""
        ),
        {"account_id": account_id, "ids": [row.track_id for row in rows if row.track_id]},
    )


def clear_read_rows(connection: Connection, sync_id: int) -> None:
    connection.execute(text("DELETE FROM read_rows WHERE sync_id = :id"), {"id": sync_id})


def filter_newest(connection: Connection, account_id: int, rows: Sequence[SavedTrackRow]) -> list[SavedTrackRow]:
    """Those to write: of twins the newest counts, and that may be the stored one."""
    stored = connection.execute(
        text(
            """SELECT track_id, added_at FROM saved_tracks
            WHERE account_id = :account_id AND track_id = ANY(:ids) AND removed_at IS NULL"""
        ),
        {"account_id": account_id, "ids": [row.track_id for row in rows]},
    )
    dates = {row.track_id: row.added_at for row in stored}
    return [row for row in rows if row.track_id not in dates or row.added_at >= dates[row.track_id]]


def apply_changes(connection: Connection, account_id: int, sync_id: int, settled: LibraryChanges) -> int:
    """Write what the search has found. Returns how many tracks are no longer saved."""
    bound = {"account_id": account_id, "sync_id": sync_id}
    removed = connection.execute(
        text(
            """UPDATE saved_tracks SET removed_at = now(), touched_at = now(), hidden_since = NULL
            WHERE account_id = :account_id AND removed_at IS NULL AND track_id = ANY(:ids)"""
        ),
        {**bound, "ids": sorted(settled.removed)},
    ).rowcount
    connection.execute(
        text(
            """UPDATE saved_tracks s SET added_at = r.added_at, touched_at = now() FROM read_rows r
            WHERE r.sync_id = :sync_id AND r.track_id = s.track_id AND s.account_id = :account_id
            AND s.track_id = ANY(:ids)"""
        ),
        {**bound, "ids": sorted(settled.redated)},
    )
    _hide(connection, account_id, settled.hidden)
    connection.execute(text("DELETE FROM excess_rows WHERE account_id = :account_id"), bound)
    rows = [{"account_id": account_id, "minute": minute, "rows": rows} for minute, rows in settled.excess.items()]
    upsert(connection, schema.excess_rows, rows)
    clear_read_rows(connection, sync_id)
    return removed


def _hide(connection: Connection, account_id: int, hidden: Collection[str]) -> None:
    connection.execute(
        text(
            """UPDATE saved_tracks SET hidden_since = CASE WHEN track_id = ANY(:ids) THEN now() END
            WHERE account_id = :account_id AND (hidden_since IS NOT NULL) <> (track_id = ANY(:ids))"""
        ),
        {"account_id": account_id, "ids": sorted(hidden)},
    )


def save_patrol_offset(connection: Connection, account_id: int, offset: int) -> None:
    """Where the next patrol reads."""
    connection.execute(
        text("UPDATE accounts SET patrol_offset = :offset WHERE id = :id"), {"id": account_id, "offset": offset}
    )


def record_excess(connection: Connection, account_id: int, total: int) -> None:
    """A walk was proved: what Spotify counts beyond the stored rows. Those of no known date are looked for later."""
    bound = {"id": account_id, "total": total, "epoch": EPOCH}
    connection.execute(text("DELETE FROM excess_rows WHERE account_id = :id"), bound)
    connection.execute(
        text(
            """INSERT INTO excess_rows (account_id, minute, rows)
            SELECT account_id, date_trunc('minute', added_at), sum(rows) FROM null_rows WHERE account_id = :id
            GROUP BY 1, 2"""
        ),
        bound,
    )
    connection.execute(
        text(
            """WITH told AS (SELECT :total - (SELECT count(*) FROM saved_tracks
                    WHERE account_id = :id AND removed_at IS NULL AND hidden_since IS NULL)
                - COALESCE((SELECT sum(rows) FROM excess_rows WHERE account_id = :id), 0) AS rows)
            INSERT INTO excess_rows AS e (account_id, minute, rows) SELECT :id, :epoch, rows FROM told WHERE rows > 0
            ON CONFLICT (account_id, minute) DO UPDATE SET rows = e.rows + excluded.rows"""
        ),
        bound,
    )
