"""Who is told when a run is over: one row for each message that triggered it, the first and the joining ones alike."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from spotisync.core.states import OVER

# Telling one waiter takes milliseconds; whoever began and has not finished after this long has died.
TELLING_SECONDS = 60


@dataclass(frozen=True)
class Waiter:
    """`envelope` is what Celery needs to answer the caller's task; `tries` counts this attempt too."""

    task_id: str
    sync_id: int
    envelope: dict[str, Any]
    tries: int
    status: str
    last_error: str | None


def known(connection: Connection, task_id: str) -> bool:
    found = connection.execute(text("SELECT 1 FROM waiters WHERE task_id = :task_id"), {"task_id": task_id})
    return found.one_or_none() is not None


def run_of(connection: Connection, task_id: str) -> int | None:
    found = connection.execute(text("SELECT sync_id FROM waiters WHERE task_id = :task_id"), {"task_id": task_id})
    return found.scalar_one_or_none()


def add(connection: Connection, task_id: str, sync_id: int, envelope: dict[str, Any]) -> None:
    """In the transaction that makes or joins the run, so that none is added to a run that is just ending."""
    connection.execute(
        text(
            """INSERT INTO waiters (task_id, sync_id, envelope) VALUES (:task_id, :sync_id, :envelope)
            ON CONFLICT (task_id) DO NOTHING"""
        ),
        {"task_id": task_id, "sync_id": sync_id, "envelope": json.dumps(envelope)},
    )


def take(connection: Connection, limit: int = 50) -> list[Waiter]:
    """Waiters of runs that are over, not yet answered, each taken by one process at a time."""
    rows = connection.execute(
        text(
            f"""UPDATE waiters w SET tries = tries + 1, wake_at = now() + make_interval(secs => {TELLING_SECONDS})
            FROM sync_history r WHERE r.id = w.sync_id AND w.task_id = ANY(ARRAY(
                SELECT w.task_id FROM waiters w JOIN sync_history r ON r.id = w.sync_id
                WHERE w.answered_at IS NULL AND w.wake_at <= now() AND r.status = ANY(:over)
                ORDER BY w.created_at LIMIT :limit FOR UPDATE OF w SKIP LOCKED))
            RETURNING w.task_id, w.sync_id, w.envelope, w.tries, r.status, r.last_error"""
        ),
        {"over": list(OVER), "limit": limit},
    )
    return [Waiter(**{**row._mapping, "envelope": json.loads(row.envelope)}) for row in rows]  # noqa: SLF001


def later(connection: Connection, task_id: str) -> None:
    """It could not be told now: again in a while, which grows."""
    connection.execute(
        text(
            "UPDATE waiters SET wake_at = now() + make_interval(secs => LEAST(60, 3 * tries)) WHERE task_id = :task_id"
        ),
        {"task_id": task_id},
    )


def answered(connection: Connection, task_id: str) -> None:
    connection.execute(text("UPDATE waiters SET answered_at = now() WHERE task_id = :task_id"), {"task_id": task_id})
