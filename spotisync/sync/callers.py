"""Callers whose runs are unfinished, and the results that they are to find in the result backend."""

from dataclasses import dataclass
from typing import Any

from spotisync.store import waiters
from spotisync.store.waiters import Waiter
from spotisync.sync.context import Context


@dataclass(frozen=True)
class Caller:
    """A trigger message: its task id, and what Celery needs to answer it later."""

    task_id: str
    envelope: dict[str, Any]


def is_known_waiter(context: Context, task_id: str) -> bool:
    with context.database.begin() as connection:
        return waiters.is_known(connection, task_id)


def list_waiting_task_ids(context: Context, sync_id: int) -> list[str]:
    with context.database.begin() as connection:
        return waiters.list_task_ids(connection, sync_id)


def claim_waiter(context: Context) -> Waiter | None:
    with context.database.begin() as connection:
        return next(iter(waiters.claim_unanswered(connection, 1)), None)


def postpone_waiter(context: Context, waiter: Waiter) -> None:
    with context.database.begin() as connection:
        waiters.postpone(connection, waiter.task_id)


def mark_answered(context: Context, waiter: Waiter) -> None:
    with context.database.begin() as connection:
        waiters.mark_answered(connection, waiter.task_id)


def record_result_loss(context: Context, seconds: float) -> None:
    with context.database.begin() as connection:
        waiters.record_loss(connection, seconds)


def claim_lost_results(context: Context) -> list[Waiter]:
    with context.database.begin() as connection:
        return waiters.claim_lost_results(connection)


def mark_restored(context: Context, waiter: Waiter) -> None:
    with context.database.begin() as connection:
        waiters.mark_restored(connection, waiter)


def claim_for_renewal(context: Context) -> list[tuple[str, dict[str, Any]]]:
    """Waiters whose keys in the result backend are due for renewal (once an hour). Deletes old answered ones."""
    with context.database.begin() as connection:
        waiters.delete_old(connection)
        return waiters.claim_for_renewal(connection)
