"""The events of a run, read."""

from typing import Any

from sqlalchemy import Connection, text

from spotisync.status import story
from spotisync.status.story import Event


def timeline(connection: Connection, sync_id: int, limit: int = 200, before: int | None = None) -> list[Event]:
    """The newest `limit` of those before the event of this id, oldest first, each with its sentence."""
    rows = connection.execute(
        text(
            """SELECT id, at, kind, phase, seq, attempt, family, seconds, items, calls, message FROM run_events
            WHERE sync_id = :sync_id AND (CAST(:before AS bigint) IS NULL OR id < :before)
            ORDER BY id DESC LIMIT :limit"""
        ),
        {"sync_id": sync_id, "limit": limit, "before": before},
    )
    return [story.describe_event({**row._mapping, "at": row.at.isoformat()}) for row in reversed(rows.all())]  # noqa: SLF001


def totals(connection: Connection, sync_id: int) -> dict[str, Any]:
    """Of the whole run: `items` and `calls` are those that the run has counted."""
    row = connection.execute(
        text(
            """SELECT count(*) FILTER (WHERE kind = 'batch') AS batches,
                COALESCE(sum(items) FILTER (WHERE kind = 'batch'), 0) AS items, COALESCE(sum(calls), 0) AS calls,
                COALESCE(sum(seconds) FILTER (WHERE kind = 'batch'), 0) AS seconds,
                COALESCE(sum(LEAST(seconds, lasted)) FILTER (WHERE kind IN ('wait', 'parked', 'retried')), 0) AS waited,
                count(*) FILTER (WHERE kind = 'retried') AS retried, count(*) FILTER (WHERE kind = 'lost') AS lost,
                count(*) FILTER (WHERE kind = 'resumed') AS resumed
            -- a person may have ended a wait, or the run; and one may last still
            FROM (SELECT *, EXTRACT(epoch FROM lead(at, 1, clock_timestamp()) OVER (ORDER BY id) - at) AS lasted
                FROM run_events WHERE sync_id = :sync_id) e"""
        ),
        {"sync_id": sync_id},
    ).one()
    sums = row._mapping.items()  # noqa: SLF001
    return story.describe_totals({name: value if isinstance(value, int) else float(value) for name, value in sums})
