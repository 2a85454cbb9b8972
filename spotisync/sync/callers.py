"""Callers whose runs are unfinished, and the results that they are to find in the result backend."""

from dataclasses import dataclass
from typing import Any

from spotisync.store import waiters
from spotisync.store.database import Connection
from spotisync.store.waiters import Waiter
from spotisync.sync.context import in_transaction


@dataclass(frozen=True)
class Caller:
    """A trigger message: its task id, and what Celery needs to answer it later."""

    task_id: str
    envelope: dict[str, Any]


is_known_waiter = in_transaction(waiters.is_known)
list_waiting_task_ids = in_transaction(waiters.list_task_ids)
postpone_waiter = in_transaction(waiters.postpone)
give_up_waiter = in_transaction(waiters.give_up)
list_given_up = in_transaction(waiters.list_given_up)
mark_answered = in_transaction(waiters.mark_answered)
record_result_loss = in_transaction(waiters.record_loss)
claim_lost_results = in_transaction(waiters.claim_lost_results)
mark_restored = in_transaction(waiters.mark_restored)
claim_for_renewal = in_transaction(waiters.claim_for_renewal)


@in_transaction
def claim_waiter(connection: Connection) -> Waiter | None:
    return next(iter(waiters.claim_unanswered(connection, 1)), None)
