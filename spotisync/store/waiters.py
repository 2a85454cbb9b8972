"""The callers of a run: one row per trigger message, whether it created or joined the run."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spotisync.core.states import OVER
from spotisync.store.database import Connection, execute

# Answering a waiter takes milliseconds; a process that has not finished after this long has died.
CLAIM_SECONDS = 60
# How often the keys of a waiting caller are renewed; results expire after a day.
RENEWAL_SECONDS = 3600
# An answered row makes a late duplicate of its message harmless; no broker keeps a message for longer than this.
TRIM_SECONDS = 7 * 86_400


@dataclass(frozen=True)
class Waiter:
    """`envelope` is what Celery needs to answer the caller's task; `tries` includes this attempt.

    `failures`: earlier attempts that failed while the broker and the result backend answered.

    `status` and `last_error` are the run's at the first attempt. `sync_id` is None if the run was deleted.
    """

    task_id: str
    sync_id: int | None
    envelope: dict[str, Any]
    tries: int
    status: str
    last_error: str | None
    waited: float
    restore_at: datetime | None = None
    failures: int = 0


@dataclass(frozen=True)
class UnansweredCaller:
    """A caller that was given up `at` this time."""

    task_id: str
    sync_id: int | None
    at: datetime
    reason: str


_WAITER = """w.task_id, w.sync_id, w.envelope, w.tries, w.failures, w.ended AS status, w.error AS last_error,
    CAST(EXTRACT(epoch FROM now() - w.created_at) AS float) AS waited, w.restore_at"""


def is_known(connection: Connection, task_id: str) -> bool:
    found = execute(connection, "SELECT 1 FROM waiters WHERE task_id = :task_id", {"task_id": task_id})
    return found.one_or_none() is not None


def find_run_id(connection: Connection, task_id: str) -> int | None:
    found = execute(connection, "SELECT sync_id FROM waiters WHERE task_id = :task_id", {"task_id": task_id})
    return found.scalar_one_or_none()


def list_task_ids(connection: Connection, sync_id: int) -> list[str]:
    """The task ids of the callers that wait for this run."""
    found = execute(
        connection, "SELECT task_id FROM waiters WHERE sync_id = :sync_id AND answered_at IS NULL", {"sync_id": sync_id}
    )
    return list(found.scalars())


def add_waiter(connection: Connection, task_id: str, sync_id: int, envelope: dict[str, Any]) -> None:
    """Call it in the transaction that creates or joins the run, so that the run can't end in between."""
    execute(
        connection,
        """INSERT INTO waiters (task_id, sync_id, envelope) VALUES (:task_id, :sync_id, :envelope)
        ON CONFLICT (task_id) DO NOTHING""",
        {"task_id": task_id, "sync_id": sync_id, "envelope": json.dumps(envelope)},
    )


# ---- answers --------------------------------------------------------------------------------------------------------


def claim_unanswered(connection: Connection, limit: int = 50) -> list[Waiter]:
    """Claim unanswered waiters of runs that are over. Each is claimed by one process at a time."""
    rows = execute(
        connection,
        f"""WITH due AS MATERIALIZED (
            SELECT w.task_id, COALESCE(w.ended, r.status) AS ended,
                CASE WHEN w.ended IS NULL THEN r.last_error ELSE w.error END AS error
            FROM waiters w LEFT JOIN sync_history r ON r.id = w.sync_id
            WHERE w.answered_at IS NULL AND w.wake_at <= now() AND (w.ended IS NOT NULL OR r.status = ANY(:over))
            -- a failed attempt moves its caller behind the others
            ORDER BY w.wake_at, w.created_at LIMIT :limit FOR UPDATE OF w SKIP LOCKED)
        UPDATE waiters w SET tries = tries + 1, wake_at = now() + make_interval(secs => {CLAIM_SECONDS}),
            ended = due.ended, error = due.error
        FROM due WHERE w.task_id = due.task_id RETURNING {_WAITER}""",
        {"over": list(OVER), "limit": limit},
    )
    return [_waiter(row._mapping) for row in rows]  # noqa: SLF001


def _waiter(row: Any) -> Waiter:
    return Waiter(**{**row, "envelope": json.loads(row["envelope"])})


def postpone(connection: Connection, task_id: str, seconds: float, *, failed: bool) -> None:
    """Retry the answer in `seconds`. `failed`: because of this caller, not because a server was away."""
    execute(
        connection,
        """UPDATE waiters SET wake_at = now() + make_interval(secs => :seconds),
            failures = failures + CAST(:failed AS int) WHERE task_id = :task_id""",
        {"task_id": task_id, "seconds": seconds, "failed": failed},
    )


def mark_answered(connection: Connection, task_id: str) -> None:
    """Also delete the row if the account was removed."""
    execute(connection, "DELETE FROM waiters WHERE task_id = :task_id AND sync_id IS NULL", {"task_id": task_id})
    execute(connection, "UPDATE waiters SET answered_at = now() WHERE task_id = :task_id", {"task_id": task_id})


def give_up(connection: Connection, task_id: str, reason: str) -> None:
    """Record that the caller can't be answered. The row is kept, for `spotisync doctor`, as long as an answered one."""
    execute(
        connection,
        "UPDATE waiters SET answered_at = now(), unanswerable = :reason WHERE task_id = :task_id",
        {"task_id": task_id, "reason": reason},
    )


def list_given_up(connection: Connection) -> list[UnansweredCaller]:
    """The callers of the last days that could not be answered, newest first."""
    rows = execute(
        connection,
        """SELECT task_id, sync_id, answered_at AS at, unanswerable AS reason FROM waiters
        WHERE unanswerable IS NOT NULL ORDER BY answered_at DESC""",
    )
    return [UnansweredCaller(**row) for row in rows.mappings()]


def detach_account(connection: Connection, account_id: int, error: str) -> None:
    """Before the account's runs are deleted: detach unanswered waiters and store their answer."""
    execute(
        connection,
        """UPDATE waiters w SET sync_id = NULL, ended = 'cancelled', error = :error FROM sync_history r
        WHERE r.id = w.sync_id AND r.account_id = :account_id AND w.answered_at IS NULL""",
        {"account_id": account_id, "error": error},
    )


# ---- results in the result backend ----------------------------------------------------------------------------------


def claim_for_renewal(connection: Connection, limit: int = 500) -> list[tuple[str, dict[str, Any]]]:
    """Task ids and envelopes of waiting callers whose keys are due for renewal; claimed by one process per hour."""
    rows = execute(
        connection,
        f"""UPDATE waiters SET kept_at = now() WHERE task_id = ANY(ARRAY(SELECT task_id FROM waiters
            WHERE answered_at IS NULL AND kept_at <= now() - make_interval(secs => {RENEWAL_SECONDS})
            ORDER BY kept_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING task_id, envelope""",
        {"limit": limit},
    )
    return [(row.task_id, json.loads(row.envelope)) for row in rows]


def record_loss(connection: Connection, seconds: float) -> None:
    """The result backend has lost its data: mark the results stored in the last `seconds` for restoring.

    Includes waiters that are being answered now, whose result may have been lost as well.
    """
    execute(
        connection,
        """UPDATE waiters SET restore_at = now() WHERE tries > 0 AND unanswerable IS NULL
        AND (answered_at IS NULL OR answered_at > now() - make_interval(secs => :seconds))""",
        {"seconds": seconds},
    )
    execute(connection, "UPDATE waiters SET kept_at = '-infinity' WHERE answered_at IS NULL")


def claim_lost_results(connection: Connection, limit: int = 200) -> list[Waiter]:
    """Claim answered waiters whose result was lost. Each is claimed by one process at a time."""
    rows = execute(
        connection,
        f"""UPDATE waiters w SET restore_at = now() + make_interval(secs => {CLAIM_SECONDS})
        WHERE task_id = ANY(ARRAY(SELECT task_id FROM waiters
            WHERE restore_at <= now() AND answered_at IS NOT NULL
            ORDER BY restore_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING {_WAITER}""",
        {"limit": limit},
    )
    return [_waiter(row._mapping) for row in rows]  # noqa: SLF001


def mark_restored(connection: Connection, waiter: Waiter) -> None:
    """Has no effect if the backend has lost the result again meanwhile."""
    execute(
        connection,
        "UPDATE waiters SET restore_at = NULL WHERE task_id = :task_id AND restore_at = :restore_at",
        {"task_id": waiter.task_id, "restore_at": waiter.restore_at},
    )


def delete_old(connection: Connection, rows: int) -> int:
    """Delete up to `rows` callers that were answered long ago."""
    return execute(
        connection,
        f"""DELETE FROM waiters WHERE task_id IN (
            SELECT task_id FROM waiters WHERE answered_at < now() - make_interval(secs => {TRIM_SECONDS})
            LIMIT :rows FOR UPDATE SKIP LOCKED)""",
        {"rows": rows},
    ).rowcount
