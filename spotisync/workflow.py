"""What follows from a batch: outcome to message."""

import contextlib
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.canvas import Signature
from celery.exceptions import Reject

from spotisync import result_backend
from spotisync.callers import answer
from spotisync.canvas import BROKER_ERRORS, Task, batch_signature, publish
from spotisync.core import queues
from spotisync.core.outcomes import BatchResult, More, Outcome, Parked, PhaseEnded, Retry, RunEnded, Stale
from spotisync.errors import Stopping, Unavailable
from spotisync.sync import Context, callers, runs

log = logging.getLogger(__name__)


def publish_next(task: Task, context: Context, sync_id: int, outcome: Outcome) -> dict[str, Any]:
    """Publish what follows from a batch's outcome; return the result of its task.

    Celery publishes the next link of the chain only after `PhaseEnded`; every other task ends without its chain.
    """
    _send_progress(task, context, sync_id, outcome.result)
    match outcome:
        case PhaseEnded(result):
            return result.as_dict()
        case More(phase, seq, result, account):
            next_batch = batch_signature(sync_id, phase, seq, account, _get_queue(task))
            _publish_batch(task, context, sync_id, next_batch)
            return _end_without_chain(task, result)
        case Retry(seconds, _):
            raise _retry(task, seconds)
        case Parked(_, result):
            return _end_without_chain(task, result)
        case Stale(orphaned, result):
            if orphaned and (task.request.delivery_info or {}).get("redelivered"):
                _publish_if_in_progress(context, sync_id)
            return _end_without_chain(task, result)
        case RunEnded(_, result):
            answer(context)
            return _end_without_chain(task, result)


def _send_progress(task: Task, context: Context, sync_id: int, result: BatchResult) -> None:
    """Show the progress in Flower, in the rows of the batch and of the run's callers. A failure is ignored."""
    # A transport raises errors of its own, such as ConnectionResetError; none of them may stop the run.
    with contextlib.suppress(Exception):
        task.send_event("task-progress", retry=False, **result.as_dict(), result=result.describe())
        for task_id in callers.list_waiting_task_ids(context, sync_id):
            result_backend.send_progress_event(task_id, f"{task.request.get('kwargsrepr')}: {result.describe()}")


def _publish_batch(task: Task, context: Context, sync_id: int, next_batch: Signature) -> None:
    """Publish the phase's next batch as a separate task, with the rest of the chain."""
    try:
        next_batch.apply_async(chain=task.request.chain, root_id=task.request.root_id, parent_id=task.request.id)
    except BROKER_ERRORS as error:
        log.warning("the next batch could not be published (%s); the next sweep publishes it", error)
        runs.publish_later(context, sync_id)


def _get_queue(task: Task) -> str:
    """The queue that the message came from, if it is one of runs."""
    queue = (task.request.delivery_info or {}).get("routing_key")
    return queue if queue in queues.OF_RUNS else queues.SYNC


def _publish_if_in_progress(context: Context, sync_id: int) -> None:
    run = runs.get_run(context, sync_id)
    if run is not None and run.status == "in_progress":
        publish(run)


def _end_without_chain(task: Task, result: BatchResult) -> dict[str, Any]:
    """Drop the rest of the chain: another message carries it, or it is not needed.

    That the tracer reads `request.chain` after the task has returned is not documented; a test pins it.
    """
    task.request.chain = None
    return result.as_dict()


@contextmanager
def retry_when_unavailable(task: Task) -> Iterator[None]:
    """Retry the task in 1 to 3 s while Postgres is away; at once, for another worker, when this one is stopping."""
    try:
        yield
    except Unavailable as error:
        log.warning("%s; retrying %s", error, task.name)
        raise _retry(task, 1 + 2 * random.random()) from None  # noqa: S311
    except Stopping:
        raise _retry(task, 0) from None


def _retry(task: Any, seconds: float) -> Exception:
    """Celery would not pass the message's label and `ignore_result` on, and would drop one that it can't publish."""
    kept = {name: task.request.get(name) for name in ("kwargsrepr", "ignore_result")}
    try:
        retry: Exception = task.retry(countdown=seconds, **kept)
    except Reject as rejected:
        reason, _ = rejected.args
        log.warning("%s can't be published again (%s); the broker delivers it again", task.name, reason)
        return Reject(reason, requeue=True)
    return retry
