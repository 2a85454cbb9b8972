"""History: which run made a change, and versions of playlists. `retention` deletes what is old."""

from collections.abc import Sequence

from spotisync.store.database import Connection, execute


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
