"""The saved tracks of an account: the rows, the walk over the whole list, and incremental reads."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from spotisync.core.bisection import EARLIEST, LATEST, Expected, ListRow, Span, find_spans
from spotisync.core.incremental import KnownLibrary, LibraryChanges, PlacedRow, truncate_to_minute
from spotisync.core.null_rows import NullCount, SuspectRow, dates_with_new_nulls
from spotisync.core.parse import EPOCH
from spotisync.core.requests import PAGE
from spotisync.core.rows import NullRow, SavedTrackRow
from spotisync.core.tracks import WalkEvidence
from spotisync.store import listings, schema
from spotisync.store.bulk import lookup_by_key, upsert
from spotisync.store.database import Connection, execute

_SAVED = lookup_by_key(schema.saved_tracks, "k.account_id = :account_id AND k.track_id = i.id")
_SEEN = lookup_by_key(schema.seen_tracks, "k.sync_id = :sync_id AND k.track_id = i.id")


def save_tracks(connection: Connection, account_id: int, rows: Sequence[SavedTrackRow]) -> tuple[set[str], set[str]]:
    """Write rows as listed; one that had been removed is restored. Returns the ids added and changed."""
    if not rows:
        return set(), set()
    rows = _dated(connection, account_id, rows)
    restored = set(
        execute(
            connection,
            f"""SELECT s.track_id FROM unnest(CAST(:ids AS text[])) AS i(id), {_SAVED} AS s
            WHERE s.removed_at IS NOT NULL""",
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
    added = {track_id for _, track_id in inserted} | restored
    return added, {track_id for _, track_id in updated} - added


def _dated(connection: Connection, account_id: int, rows: Sequence[SavedTrackRow]) -> list[SavedTrackRow]:
    """Give rows listed without a date the stored one."""
    undated = [row.track_id for row in rows if row.added_at == EPOCH]
    if not undated:
        return list(rows)
    stored = execute(
        connection,
        "SELECT track_id, added_at FROM saved_tracks WHERE account_id = :account_id AND track_id = ANY(:ids)",
        {"account_id": account_id, "ids": undated},
    )
    dates = {row.track_id: row.added_at for row in stored}
    return [
        SavedTrackRow(row.track_id, dates.get(row.track_id, EPOCH)) if row.added_at == EPOCH else row for row in rows
    ]


def count_saved(connection: Connection, account_id: int) -> int:
    found = execute(
        connection,
        "SELECT count(*) FROM saved_tracks WHERE account_id = :id AND removed_at IS NULL",
        {"id": account_id},
    )
    return int(found.scalar_one())


# ---- the walk -------------------------------------------------------------------------------------------------------


def mark_seen(
    connection: Connection, sync_id: int, account_id: int, rows: Sequence[SavedTrackRow]
) -> tuple[set[str], list[SavedTrackRow]]:
    """Record the rows that the walk has met. Returns the ids met for the first time, and the rows to write.

    Relinking can list one track twice: the row added last counts, in any order. The other one is staged too, so that
    the rows of the walk add up.
    """
    newest_of = {row.track_id: row for row in sorted(rows, key=lambda row: row.added_at)}
    ids = sorted(newest_of)
    met_before = execute(
        connection,
        f"SELECT m.track_id, s.added_at FROM unnest(CAST(:ids AS text[])) AS i(id), {_SEEN} AS m, {_SAVED} AS s",
        {"sync_id": sync_id, "account_id": account_id, "ids": ids},
    )
    newest = {row.track_id: row.added_at for row in met_before}
    execute(
        connection,
        """INSERT INTO seen_tracks (sync_id, track_id, added_at) SELECT :sync_id, i.id, i.added_at
        FROM unnest(CAST(:ids AS text[]), CAST(:dates AS timestamptz[])) AS i(id, added_at)
        ORDER BY 2, 3 ON CONFLICT DO NOTHING""",
        {"sync_id": sync_id, "ids": [row.track_id for row in rows], "dates": [row.added_at for row in rows]},
    )
    rows_to_write = [row for id_, row in newest_of.items() if id_ not in newest or row.added_at > newest[id_]]
    return set(ids) - set(newest), rows_to_write


def mark_nulls_seen(connection: Connection, sync_id: int, rows: Sequence[NullRow]) -> None:
    if rows:
        upsert(connection, schema.seen_nulls, [{"sync_id": sync_id, **vars(row)} for row in dict.fromkeys(rows)])


def get_walk_evidence(connection: Connection, account_id: int, sync_id: int) -> WalkEvidence:
    nulls, last = _count_nulls_seen(connection, sync_id), _get_last_nulls(connection, account_id)
    met = _count_met(connection, sync_id)
    if last is None or not (nulls or last):
        return WalkEvidence(met, nulls, last)
    grown = dates_with_new_nulls(nulls, last)
    return WalkEvidence(met, nulls, last, _find_suspects(connection, account_id, sync_id, grown))


def _count_met(connection: Connection, sync_id: int) -> int:
    found = execute(connection, "SELECT count(*) FROM seen_tracks WHERE sync_id = :sync_id", {"sync_id": sync_id})
    return int(found.scalar_one())


def _count_nulls_seen(connection: Connection, sync_id: int) -> dict[datetime, int]:
    """Count the null rows that the walk has met, by date."""
    found = execute(
        connection,
        "SELECT added_at, count(*) AS rows FROM seen_nulls WHERE sync_id = :sync_id GROUP BY added_at",
        {"sync_id": sync_id},
    )
    return {row.added_at: row.rows for row in found}


def _get_last_nulls(connection: Connection, account_id: int) -> dict[datetime, NullCount] | None:
    """The null rows of the last proved walk; None if there was none."""
    walked = execute(
        connection, "SELECT walked_total IS NOT NULL FROM accounts WHERE id = :account_id", {"account_id": account_id}
    ).scalar_one()
    if not walked:
        return None
    found = execute(
        connection,
        "SELECT added_at, rows, idle FROM null_rows WHERE account_id = :account_id",
        {"account_id": account_id},
    )
    return {row.added_at: NullCount(row.rows, row.idle) for row in found}


# Tracks that the walk has not met, and that nothing has written since it began.
_UNSEEN = """s.account_id = :account_id AND s.removed_at IS NULL
    AND s.touched_at < (SELECT r.started_at FROM sync_history r WHERE r.id = :sync_id) AND NOT EXISTS (
    SELECT 1 FROM seen_tracks m WHERE m.sync_id = :sync_id AND m.track_id = s.track_id)"""


def _find_suspects(
    connection: Connection, account_id: int, sync_id: int, grown: Sequence[datetime]
) -> list[SuspectRow]:
    """Tracks the walk has not met, met tracks of a date with new null rows, and hidden tracks that it has met."""
    bound = {"account_id": account_id, "sync_id": sync_id, "grown": list(grown)}
    missing = execute(
        connection,
        f"""SELECT s.track_id, s.hidden_since IS NOT NULL, s.added_at, false FROM saved_tracks s
        WHERE {_UNSEEN} OR s.account_id = :account_id AND s.removed_at IS NULL
        AND s.hidden_since IS NULL AND s.added_at = ANY(CAST(:grown AS timestamptz[]))""",
        bound,
    )
    shown = execute(
        connection,
        """SELECT s.track_id, true, s.added_at, true FROM saved_tracks s
        JOIN seen_tracks m ON m.sync_id = :sync_id AND m.track_id = s.track_id
        WHERE s.account_id = :account_id AND s.hidden_since IS NOT NULL""",
        bound,
    )
    return [SuspectRow(*row) for row in (*missing, *shown)]


def count_removable(connection: Connection, account_id: int, sync_id: int, hidden: Collection[str]) -> int:
    """Count the tracks that `end_walk` would remove."""
    found = execute(
        connection,
        f"SELECT count(*) FROM saved_tracks s WHERE {_UNSEEN} AND s.track_id <> ALL(:hidden)",
        {"account_id": account_id, "sync_id": sync_id, "hidden": sorted(hidden)},
    )
    return int(found.scalar_one())


def drop_walk(connection: Connection, sync_id: int) -> None:
    """Drop what an unproved walk has staged."""
    for table in ("seen_tracks", "seen_nulls"):
        execute(connection, f"DELETE FROM {table} WHERE sync_id = :sync_id", {"sync_id": sync_id})


def end_walk(
    connection: Connection,
    account_id: int,
    sync_id: int,
    total: int,
    hidden: Collection[str],
    nulls: Mapping[datetime, NullCount],
) -> int:
    """Write what a proved walk shows: tracks it has not met and that are not hidden are no longer saved.

    Returns how many were removed. `nulls` and Spotify's `total` are kept for later comparisons.
    """
    bound = {"account_id": account_id, "sync_id": sync_id, "hidden": sorted(hidden)}
    if hidden:
        execute(connection, _MARK_CERTAIN, bound)
    removed = execute(
        connection,
        f"""UPDATE saved_tracks s SET removed_at = now(), touched_at = now()
        WHERE {_UNSEEN} AND s.track_id <> ALL(:hidden)""",
        bound,
    ).rowcount
    listings.set_hidden(connection, "saved_tracks", "track_id", account_id, hidden)
    execute(
        connection,
        "UPDATE accounts SET tracks_proved_at = now(), walked_total = :total WHERE id = :account_id",
        {**bound, "total": total},
    )
    _record_excess(connection, account_id, sync_id, nulls)
    drop_walk(connection, sync_id)
    return removed


# It is certain that a track is hidden if all tracks of its second that went missing since the last proved walk can be
# behind the null rows of that second that are new since. A null row without a date, or one that was there before,
# proves nothing.
_MARK_CERTAIN = f"""UPDATE saved_tracks t SET surely_hidden_since = now()
    FROM (SELECT s.track_id, s.added_at, count(*) OVER (PARTITION BY s.added_at) AS missing
        FROM saved_tracks s JOIN accounts a ON a.id = s.account_id
        WHERE {_UNSEEN} AND (s.hidden_since IS NULL OR s.hidden_since > a.tracks_proved_at)) m
    WHERE t.account_id = :account_id AND t.track_id = m.track_id AND t.track_id = ANY(:hidden)
    AND m.added_at > to_timestamp(0) AND m.missing = (
        SELECT count(*) FROM seen_nulls n WHERE n.sync_id = :sync_id AND n.added_at = m.added_at) - COALESCE((
        SELECT l.rows FROM null_rows l WHERE l.account_id = :account_id AND l.added_at = m.added_at), 0)"""


def _record_excess(connection: Connection, account_id: int, sync_id: int, nulls: Mapping[datetime, NullCount]) -> None:
    """Store the rows that Spotify counts beyond the stored ones, by minute: null rows and the older ones of twins."""
    bound = {"account_id": account_id, "sync_id": sync_id}
    execute(connection, "DELETE FROM null_rows WHERE account_id = :account_id", bound)
    rows = [{"account_id": account_id, "added_at": added_at, **vars(count)} for added_at, count in nulls.items()]
    upsert(connection, schema.null_rows, rows)
    execute(connection, "DELETE FROM excess_rows WHERE account_id = :account_id", bound)
    execute(
        connection,
        """INSERT INTO excess_rows (account_id, minute, rows)
        SELECT :account_id, date_trunc('minute', e.added_at), sum(e.rows) FROM (
            SELECT n.added_at, n.rows FROM null_rows n WHERE n.account_id = :account_id
            UNION ALL
            SELECT m.added_at, 1 FROM (SELECT added_at, row_number() OVER (PARTITION BY track_id
                ORDER BY added_at DESC) AS number FROM seen_tracks WHERE sync_id = :sync_id) m WHERE m.number > 1) e
        GROUP BY 2""",
        bound,
    )


# ---- incremental reads ----------------------------------------------------------------------------------------------


def load_library(connection: Connection, account_id: int, sync_id: int, total: int | None) -> KnownLibrary:
    """Load the state that an incremental read compares with: stored rows around the pages read, and counts.

    `total`: of Spotify's list; None before the first page, and then nothing is to be compared yet.
    """
    read = _load_read_rows(connection, sync_id)
    account = execute(
        connection,
        """SELECT a.walked_total IS NOT NULL AS walked, a.patrol_offset,
            (SELECT min(s.added_at) FROM saved_tracks s WHERE s.account_id = a.id AND s.removed_at IS NULL) AS oldest,
            (SELECT max(s.added_at) FROM saved_tracks s WHERE s.account_id = a.id AND s.removed_at IS NULL) AS newest
        FROM accounts a WHERE a.id = :id""",
        {"id": account_id},
    ).one()
    deferral = listings.find_deferral(connection, account_id, "saved_tracks")
    return KnownLibrary(
        expected=Expected([]) if total is None else _load_expected(connection, account_id, find_spans(read, total)),
        read=read,
        patrol=account.patrol_offset,
        walked=account.walked and (account.oldest is None or account.oldest > EPOCH),
        walk_deferred=deferral is not None,
        newest=account.newest,
        hidden={} if total is None else _load_hidden(connection, account_id),
    )


def _load_expected(connection: Connection, account_id: int, spans: Sequence[Span]) -> Expected:
    """Load the rows in the spans and count the others, in one statement: both show the same moment."""
    rows = execute(
        connection,
        f"""SELECT s.added_at, s.track_id, 1 AS rows
        FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])) AS span(start, until)
        JOIN saved_tracks s ON {_VISIBLE} AND s.added_at >= span.start AND s.added_at < span.until
        UNION ALL
        SELECT gap.start, NULL, (SELECT count(*) FROM saved_tracks s
            WHERE {_VISIBLE} AND s.added_at >= gap.start AND s.added_at < gap.until)
        FROM unnest(CAST(:gap_starts AS timestamptz[]), CAST(:gap_ends AS timestamptz[])) AS gap(start, until)""",
        {
            "account_id": account_id,
            "starts": [span.start for span in spans],
            "ends": [span.end for span in spans],
            # What is before, between and after the spans.
            "gap_starts": [EARLIEST, *(span.end for span in spans)],
            "gap_ends": [*(span.start for span in spans), LATEST],
        },
    ).all()
    return Expected(
        [ListRow(truncate_to_minute(row.added_at), row.track_id) for row in rows if row.track_id is not None]
        + _load_excess(connection, account_id),
        [(row.added_at, row.rows) for row in rows if row.track_id is None],
    )


# Stored rows that Spotify's list should contain.
_VISIBLE = "s.account_id = :account_id AND s.removed_at IS NULL AND s.hidden_since IS NULL"


def find_stored(connection: Connection, account_id: int, ids: Collection[str]) -> set[str]:
    """Return those of the tracks that are saved as far as we know, without those that a null row may hide."""
    found = execute(
        connection,
        f"SELECT s.track_id FROM saved_tracks s WHERE {_VISIBLE} AND s.track_id = ANY(:ids)",
        {"account_id": account_id, "ids": list(ids)},
    )
    return set(found.scalars())


def _load_hidden(connection: Connection, account_id: int) -> dict[str, datetime]:
    found = execute(
        connection,
        """SELECT track_id, added_at FROM saved_tracks
        WHERE account_id = :id AND removed_at IS NULL AND hidden_since IS NOT NULL""",
        {"id": account_id},
    )
    return {row.track_id: truncate_to_minute(row.added_at) for row in found}


def _load_excess(connection: Connection, account_id: int) -> list[ListRow]:
    rows = execute(connection, "SELECT minute, rows FROM excess_rows WHERE account_id = :id", {"id": account_id}).all()
    return [ListRow(row.minute, None) for row in rows for _ in range(row.rows)]


def _load_read_rows(connection: Connection, sync_id: int) -> dict[int, ListRow]:
    rows = execute(connection, "SELECT place, track_id, added_at FROM read_rows WHERE sync_id = :id", {"id": sync_id})
    return {row.place: ListRow(truncate_to_minute(row.added_at), row.track_id) for row in rows}


def save_read_rows(connection: Connection, sync_id: int, account_id: int, rows: Sequence[PlacedRow]) -> None:
    """Store rows of the list with their places. A track that is listed again is no longer hidden."""
    upsert(connection, schema.read_rows, [{"sync_id": sync_id, **vars(row)} for row in rows])
    execute(
        connection,
        """UPDATE saved_tracks SET hidden_since = NULL
        WHERE account_id = :account_id AND hidden_since IS NOT NULL AND track_id = ANY(:ids)""",
        {"account_id": account_id, "ids": [row.track_id for row in rows if row.track_id]},
    )


def clear_read_rows(connection: Connection, sync_id: int) -> None:
    execute(connection, "DELETE FROM read_rows WHERE sync_id = :id", {"id": sync_id})


def filter_newest(connection: Connection, account_id: int, rows: Sequence[SavedTrackRow]) -> list[SavedTrackRow]:
    """Return the rows to write: of twins the row added last counts, which may be the stored one."""
    stored = execute(
        connection,
        """SELECT track_id, added_at FROM saved_tracks
        WHERE account_id = :account_id AND track_id = ANY(:ids) AND removed_at IS NULL""",
        {"account_id": account_id, "ids": [row.track_id for row in rows]},
    )
    dates = {row.track_id: row.added_at for row in stored}
    return [row for row in rows if row.track_id not in dates or row.added_at >= dates[row.track_id]]


def apply_changes(connection: Connection, account_id: int, sync_id: int, changes: LibraryChanges) -> int:
    """Write the changes found by the search. Returns how many tracks are no longer saved."""
    bound = {"account_id": account_id, "sync_id": sync_id}
    removed = execute(
        connection,
        """UPDATE saved_tracks SET removed_at = now(), touched_at = now(), hidden_since = NULL
        WHERE account_id = :account_id AND removed_at IS NULL AND track_id = ANY(:ids)""",
        {**bound, "ids": sorted(changes.removed)},
    ).rowcount
    execute(
        connection,
        """UPDATE saved_tracks s SET added_at = r.added_at, touched_at = now() FROM read_rows r
        WHERE r.sync_id = :sync_id AND r.track_id = s.track_id AND s.account_id = :account_id
        AND s.track_id = ANY(:ids)""",
        {**bound, "ids": sorted(changes.redated)},
    )
    listings.set_hidden(connection, "saved_tracks", "track_id", account_id, changes.hidden)
    execute(connection, "DELETE FROM excess_rows WHERE account_id = :account_id", bound)
    rows = [{"account_id": account_id, "minute": minute, "rows": rows} for minute, rows in changes.excess.items()]
    upsert(connection, schema.excess_rows, rows)
    clear_read_rows(connection, sync_id)
    return removed


def skip_patrol_page(connection: Connection, account_id: int) -> None:
    """Let the next incremental patrol behind a page that could not be read."""
    execute(
        connection, f"UPDATE accounts SET patrol_offset = patrol_offset + {PAGE} WHERE id = :id", {"id": account_id}
    )


def save_patrol_offset(connection: Connection, account_id: int, offset: int) -> None:
    """Set where the next incremental reads its patrol page."""
    execute(
        connection, "UPDATE accounts SET patrol_offset = :offset WHERE id = :id", {"id": account_id, "offset": offset}
    )
