"""What was: which run a change is of, versions of playlists, and what is too old to be kept."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

# Rows of a kind that one trim takes away at most, so that no sweep is long.
PIECE = 5_000


def set_current_run(connection: Connection, sync_id: int) -> None:
    """For the rest of this transaction: the triggers that keep the spans write the run down."""
    connection.execute(text("SELECT set_config('spotisync.sync_id', CAST(:id AS text), true)"), {"id": str(sync_id)})


def count_changes(connection: Connection, sync_id: int) -> None:
    """Once, when a run is over: whoever shows the last ones that changed something need not look through all."""
    connection.execute(
        text(
            """UPDATE sync_history SET changes = (SELECT jsonb_object_agg(what, rows) FROM (
                SELECT 'added' AS what, count(*) AS rows FROM saved_spans WHERE from_run = :id
                UNION ALL SELECT 'removed', count(*) FROM saved_spans WHERE to_run = :id
                UNION ALL SELECT 'new', count(*) FROM playlist_spans WHERE from_run = :id
                UNION ALL SELECT 'gone', count(*) FROM playlist_spans WHERE to_run = :id
                UNION ALL SELECT 'changed', count(*) FROM playlist_versions v WHERE v.sync_id = :id AND NOT EXISTS (
                    SELECT 1 FROM playlist_spans s WHERE s.playlist_id = v.playlist_id AND s.from_run = :id)
            ) counted WHERE rows > 0) WHERE id = :id"""
        ),
        {"id": sync_id},
    )


def keep_versions(connection: Connection, sync_id: int, ids: Sequence[str]) -> None:
    """Contents that were just swapped in, where they differ from the last version."""
    connection.execute(
        text(
            # Dates as seconds: what jsonb would make of them depends on the session's time zone.
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
            ON CONFLICT (playlist_id, read_at) DO UPDATE SET items = excluded.items"""
        ),
        {"sync_id": sync_id, "ids": list(ids)},
    )


def claim_hourly_trim(connection: Connection) -> bool:
    """Whether nobody has trimmed for an hour; who is told so, does."""
    return bool(
        connection.execute(
            text(
                """INSERT INTO heartbeats AS h (name) VALUES ('trim') ON CONFLICT (name) DO UPDATE SET beat_at = now()
                WHERE h.beat_at < now() - interval '1 hour' RETURNING name"""
            )
        ).scalar()
    )


def trim(connection: Connection, days: int) -> int:
    """Forget what is older than that, a piece of each kind. What stands for the present is kept, however old."""
    forgotten = sum(
        connection.execute(text(statement), {"days": days, "piece": PIECE}).rowcount
        for statement in (_RUNS, _SPANS.format("saved_spans"), _SPANS.format("playlist_spans"), _VERSIONS)
    )
    if forgotten:
        connection.execute(text(_KEPT_SINCE), {"days": days})
    return forgotten


# Functions of the database look here, so that they do not answer with what happens to be left.
_KEPT_SINCE = """INSERT INTO heartbeats AS h (name, beat_at)
    VALUES ('history kept since', now() - make_interval(days => :days))
    ON CONFLICT (name) DO UPDATE SET beat_at = GREATEST(h.beat_at, excluded.beat_at)"""
_OLD = "now() - make_interval(days => :days)"
# The newest of each type, the last success of each type, the one by which the time that is kept begins, and who has
# still to be told keep a run.
_RUNS = f"""DELETE FROM sync_history WHERE id IN (
    SELECT r.id FROM sync_history r WHERE r.status IN ('success', 'failed', 'cancelled') AND r.completed_at < {_OLD}
    AND EXISTS (SELECT 1 FROM sync_history n WHERE n.account_id = r.account_id AND n.sync_type = r.sync_type
        AND n.id > r.id)
    AND (r.status <> 'success' OR EXISTS (SELECT 1 FROM sync_history n WHERE n.account_id = r.account_id
        AND n.sync_type = r.sync_type AND n.status = 'success' AND n.completed_at > r.completed_at)
        AND EXISTS (SELECT 1 FROM sync_history n WHERE n.account_id = r.account_id AND n.status = 'success'
        AND n.completed_at > r.completed_at AND n.completed_at < {_OLD}))
    AND NOT EXISTS (SELECT 1 FROM waiters w WHERE w.sync_id = r.id AND w.answered_at IS NULL)
    ORDER BY r.id LIMIT :piece)"""
# What that first run knew is kept whole.
_SPANS = f"""DELETE FROM {{0}} WHERE id IN (SELECT s.id FROM {{0}} s WHERE s.to_at < (
    SELECT max(r.completed_at) FROM sync_history r
    WHERE r.account_id = s.account_id AND r.status = 'success' AND r.completed_at < {_OLD}) ORDER BY id LIMIT :piece)"""
# A version holds until the next one was read: the one that held at that time is kept.
_VERSIONS = f"""DELETE FROM playlist_versions WHERE (playlist_id, read_at) IN (
    SELECT v.playlist_id, v.read_at FROM playlist_versions v WHERE v.read_at < {_OLD} AND EXISTS (
        SELECT 1 FROM playlist_versions n WHERE n.playlist_id = v.playlist_id AND n.read_at > v.read_at
        AND n.read_at < {_OLD}) LIMIT :piece)"""
