"""Delete the rows that the retention periods no longer keep.

Each function deletes up to `rows` rows in a transaction of its own and returns how many, so that a killed process has
lost at most one piece of the work. A period of 0 days keeps everything.
"""

from spotisync.store.database import Connection, execute

# Arbitrary, but unique to this lock.
ADVISORY_LOCK = 7_364_920


def lock(connection: Connection) -> bool:
    """Exclude other processes from deleting until the transaction ends. False: one of them is at work."""
    return bool(
        execute(connection, "SELECT pg_try_advisory_xact_lock(:number)", {"number": ADVISORY_LOCK}).scalar_one()
    )


def claim_start(connection: Connection, seconds: float) -> bool:
    """Return whether the work may be started: no process has marked progress for `seconds`."""
    claimed = execute(
        connection,
        """INSERT INTO heartbeats AS h (name) VALUES ('housekeeping')
        ON CONFLICT (name) DO UPDATE SET beat_at = now()
        WHERE h.beat_at < now() - make_interval(secs => :seconds) RETURNING 1""",
        {"seconds": seconds},
    )
    return claimed.one_or_none() is not None


def mark_progress(connection: Connection) -> None:
    execute(connection, "UPDATE heartbeats SET beat_at = now() WHERE name = 'housekeeping'")


# ---- runs -----------------------------------------------------------------------------------------------------------


def delete_events(connection: Connection, days: int, rows: int) -> int:
    """Delete old events of runs. Their ids ascend with their times, so the oldest are at the start of the key."""
    return execute(connection, _EVENTS, {"days": days, "rows": rows}).rowcount


def delete_runs(connection: Connection, days: int, history_days: int, rows: int) -> int:
    """Delete old runs with what belongs to them.

    Kept: the newest run and the last success of each type, runs with unanswered waiters, and, in the period of
    `history_days`, the runs that `library_as_of` and `changes_of_run` need.
    """
    return execute(connection, _RUNS, {"days": days, "history_days": history_days, "rows": rows}).rowcount


def _before(days: str) -> str:
    return f"CASE WHEN :{days} > 0 THEN now() - make_interval(days => :{days}) ELSE '-infinity' END"


_EVENTS = f"""DELETE FROM run_events WHERE id IN (
    SELECT e.id FROM (SELECT id, at FROM run_events ORDER BY id LIMIT :rows) e WHERE e.at < {_before("days")})"""
# The last success before the horizon, from which the library as of the horizon comes. Found once for each account.
_LAST_SUCCESS = f"""SELECT l.id, l.completed_at FROM sync_history l WHERE l.account_id = a.id AND l.status = 'success'
    AND l.completed_at < {_before("history_days")} ORDER BY l.completed_at DESC LIMIT 1"""
# The library as of a success without changes equals that of the success before it, unless another run has written
# since then.
_FOLLOWS_SUCCESS = """COALESCE((SELECT p.status = 'success' FROM sync_history p WHERE p.account_id = a.id
    AND p.completed_at < r.completed_at ORDER BY p.completed_at DESC LIMIT 1), true)"""
_RUNS = f"""DELETE FROM sync_history WHERE id IN (
    SELECT c.id FROM accounts a LEFT JOIN LATERAL ({_LAST_SUCCESS}) h ON true CROSS JOIN LATERAL (
        SELECT r.id FROM sync_history r WHERE r.account_id = a.id AND r.completed_at < {_before("days")}
        AND r.status IN ('success', 'failed', 'cancelled') AND r.id IS DISTINCT FROM h.id
        AND EXISTS (SELECT 1 FROM sync_history n WHERE n.account_id = a.id AND n.sync_type = r.sync_type
            AND n.id > r.id)
        AND (r.status <> 'success' OR EXISTS (SELECT 1 FROM sync_history n WHERE n.account_id = a.id
            AND n.sync_type = r.sync_type AND n.status = 'success' AND n.completed_at > r.completed_at))
        AND (r.completed_at < {_before("history_days")}
            OR r.changes IS NULL AND (r.status <> 'success' OR {_FOLLOWS_SUCCESS}))
        AND NOT EXISTS (SELECT 1 FROM waiters w WHERE w.sync_id = r.id AND w.answered_at IS NULL)
        ORDER BY r.completed_at LIMIT :rows FOR UPDATE SKIP LOCKED) c
    LIMIT :rows)"""


# ---- history --------------------------------------------------------------------------------------------------------


def delete_saved_spans(connection: Connection, days: int, rows: int) -> int:
    return _delete_history(connection, _SPANS.format(table="saved_spans"), days, rows)


def delete_playlist_spans(connection: Connection, days: int, rows: int) -> int:
    return _delete_history(connection, _SPANS.format(table="playlist_spans"), days, rows)


def delete_versions(connection: Connection, days: int, rows: int) -> int:
    """Delete old contents of playlists, except those that were current at the horizon."""
    return _delete_history(connection, _VERSIONS, days, rows)


def _delete_history(connection: Connection, statement: str, days: int, rows: int) -> int:
    deleted = execute(connection, statement, {"history_days": days, "rows": rows}).rowcount
    if deleted:
        execute(connection, _ADVANCE_HORIZON, {"history_days": days})
    return deleted


# A span that the last success before the horizon still knew is kept: the library as of the horizon needs it.
_SPANS = f"""DELETE FROM {{table}} WHERE id IN (
    SELECT c.id FROM accounts a CROSS JOIN LATERAL ({_LAST_SUCCESS}) h CROSS JOIN LATERAL (
        SELECT s.id FROM {{table}} s WHERE s.account_id = a.id AND s.to_at < h.completed_at
        ORDER BY s.to_at LIMIT :rows FOR UPDATE SKIP LOCKED) c
    LIMIT :rows)"""
_VERSIONS = f"""DELETE FROM playlist_versions WHERE (playlist_id, read_at) IN (
    SELECT p.id, c.read_at FROM playlists p CROSS JOIN LATERAL (
        SELECT v.read_at FROM playlist_versions v WHERE v.playlist_id = p.id AND v.read_at < {_before("history_days")}
        ORDER BY v.read_at DESC OFFSET 1 LIMIT :rows) c
    LIMIT :rows)"""
# library_as_of() and playlist_as_of() refuse an earlier moment instead of answering from incomplete history.
_ADVANCE_HORIZON = """INSERT INTO history_retention AS h (kept_since)
    VALUES (now() - make_interval(days => :history_days))
    ON CONFLICT (only_row) DO UPDATE SET trimmed_at = now(), kept_since = GREATEST(h.kept_since, excluded.kept_since)"""
