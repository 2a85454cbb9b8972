"""History: which run made a change, versions of playlists, and the deletion of old rows."""

from collections.abc import Sequence

from spotisync.store.database import Connection, execute

# Limit of rows deleted per table and trim, which keeps each sweep short.
TRIM_ROWS = 5_000


def set_current_run(connection: Connection, sync_id: int) -> None:
    """Name the run that the triggers on the spans record, until the transaction ends."""
    execute(connection, "SELECT set_config('spotisync.sync_id', CAST(:id AS text), true)", {"id": str(sync_id)})


def count_changes(connection: Connection, sync_id: int) -> None:
    """Store a finished run's counts of changes, so that listing recent changes does not scan all spans."""
    execute(
        connection,
        """UPDATE sync_history SET changes = (SELECT jsonb_object_agg(what, rows) FROM (
            SELECT 'added' AS what, count(*) AS rows FROM saved_spans WHERE from_run = :id
            UNION ALL SELECT 'removed', count(*) FROM saved_spans WHERE to_run = :id
            UNION ALL SELECT 'new', count(*) FROM playlist_spans WHERE from_run = :id
            UNION ALL SELECT 'gone', count(*) FROM playlist_spans WHERE to_run = :id
            UNION ALL SELECT 'changed', count(*) FROM playlist_versions v WHERE v.sync_id = :id AND NOT EXISTS (
                SELECT 1 FROM playlist_spans s WHERE s.playlist_id = v.playlist_id AND s.from_run = :id)
        ) counted WHERE rows > 0) WHERE id = :id""",
        {"id": sync_id},
    )


def store_versions(connection: Connection, sync_id: int, ids: Sequence[str]) -> None:
    """Store the contents of these playlists as a new version where they differ from the last one."""
    execute(
        connection,
        """INSERT INTO playlist_versions (playlist_id, read_at, snapshot_id, sync_id, items)
        SELECT p.id, now(), COALESCE(p.items_snapshot_id, ''), :sync_id, c.items
        FROM unnest(CAST(:ids AS text[])) AS i(id) JOIN playlists p ON p.id = i.id
        CROSS JOIN LATERAL (
            SELECT COALESCE(jsonb_agg(jsonb_build_array(position, kind, track_id, uri, name,
                extract(epoch FROM added_at), added_by) ORDER BY position), '[]') AS items
            FROM playlist_items WHERE playlist_id = i.id) c
        LEFT JOIN LATERAL (
            SELECT v.items FROM playlist_versions v WHERE v.playlist_id = i.id ORDER BY v.read_at DESC LIMIT 1
        ) l ON true
        WHERE l.items IS DISTINCT FROM c.items
        ON CONFLICT (playlist_id, read_at) DO UPDATE SET items = excluded.items""",
        {"sync_id": sync_id, "ids": list(ids)},
    )


def claim_hourly_trim(connection: Connection) -> bool:
    """Return whether this transaction is the one to trim; at most once an hour."""
    return bool(
        execute(
            connection,
            """INSERT INTO history_retention AS h (trimmed_at) VALUES (now())
            ON CONFLICT (only_row) DO UPDATE SET trimmed_at = now()
            WHERE h.trimmed_at < now() - interval '1 hour' RETURNING true""",
        ).scalar()
    )


def trim(connection: Connection, days: int) -> int:
    """Delete older history, up to `TRIM_ROWS` per table, except for rows that describe the present."""
    deleted = sum(
        execute(connection, statement, {"days": days, "rows": TRIM_ROWS}).rowcount
        for statement in (_RUNS, _SPANS.format("saved_spans"), _SPANS.format("playlist_spans"), _VERSIONS)
    )
    if deleted:
        execute(connection, _ADVANCE_HORIZON, {"days": days})
    return deleted


# library_as_of() and playlist_as_of() refuse an earlier moment instead of answering from incomplete history.
_ADVANCE_HORIZON = """INSERT INTO history_retention AS h (kept_since) VALUES (now() - make_interval(days => :days))
    ON CONFLICT (only_row) DO UPDATE SET kept_since = GREATEST(h.kept_since, excluded.kept_since)"""
_OLD = "now() - make_interval(days => :days)"
# Kept: the newest run and the last success of each type, the last success before the horizon (the library as of the
# horizon comes from it), and runs with unanswered waiters.
_RUNS = f"""DELETE FROM sync_history WHERE id IN (
    SELECT r.id FROM sync_history r WHERE r.status IN ('success', 'failed', 'cancelled') AND r.completed_at < {_OLD}
    AND EXISTS (SELECT 1 FROM sync_history n WHERE n.account_id = r.account_id AND n.sync_type = r.sync_type
        AND n.id > r.id)
    AND (r.status <> 'success' OR EXISTS (SELECT 1 FROM sync_history n WHERE n.account_id = r.account_id
        AND n.sync_type = r.sync_type AND n.status = 'success' AND n.completed_at > r.completed_at)
        AND EXISTS (SELECT 1 FROM sync_history n WHERE n.account_id = r.account_id AND n.status = 'success'
        AND n.completed_at > r.completed_at AND n.completed_at < {_OLD}))
    AND NOT EXISTS (SELECT 1 FROM waiters w WHERE w.sync_id = r.id AND w.answered_at IS NULL)
    ORDER BY r.id LIMIT :rows)"""
# A span that the last success before the horizon still knew is kept: the library as of the horizon needs it.
_SPANS = f"""DELETE FROM {{0}} WHERE id IN (SELECT s.id FROM {{0}} s WHERE s.to_at < (
    SELECT max(r.completed_at) FROM sync_history r
    WHERE r.account_id = s.account_id AND r.status = 'success' AND r.completed_at < {_OLD}) ORDER BY id LIMIT :rows)"""
# A version is valid until the next one was read: the one valid at the horizon is kept.
_VERSIONS = f"""DELETE FROM playlist_versions WHERE (playlist_id, read_at) IN (
    SELECT v.playlist_id, v.read_at FROM playlist_versions v WHERE v.read_at < {_OLD} AND EXISTS (
        SELECT 1 FROM playlist_versions n WHERE n.playlist_id = v.playlist_id AND n.read_at > v.read_at
        AND n.read_at < {_OLD}) LIMIT :rows)"""
