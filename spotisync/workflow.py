"""The canvas of a run, and what happens after a batch: outcome to message.

There are two canvases. Ours, the chain of phases, carries nothing of a caller and can be rebuilt from the run row at
any time. A caller's chain, callbacks and errbacks lie in `waiters` until the run is over; `answer` then does for each
what Celery's tracer does after a task returns.
"""

import contextlib
import logging
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias

import celery
from celery import chain, group, states
from celery.app.task import Context
from celery.canvas import Signature
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from spotisync import status
from spotisync.celery import app
from spotisync.core.outcomes import BatchResult, End, More, Outcome, Over, Parked, Retry, Stale
from spotisync.core.states import Phase, later_phases
from spotisync.errors import SpotisyncError, SyncCancelled, SyncFailed, Unavailable
from spotisync.store.runs import Run
from spotisync.store.waiters import Waiter
from spotisync.sync import Sync, lifecycle
from spotisync.sync.lifecycle import Caller, Triggered
from spotisync.sync.schedule import Reading

log = logging.getLogger(__name__)
Task: TypeAlias = "celery.Task[Any, Any]"
QUEUE = "spotisync.sync"
# What an answer needs of the caller's message. Not `expires`, time limits or `retries`: they were the door's.
ENVELOPE = (
    "id", "task", "root_id", "parent_id", "correlation_id", "reply_to", "group", "group_index", "chord", "chain",
    "callbacks", "errbacks", "stamps", "stamped_headers", "ignore_result", "origin", "args", "kwargs",
)  # fmt: skip


# ---- our canvas -----------------------------------------------------------------------------------------------------


def canvas(run: Run) -> Signature:
    """From the run row alone: the batch that is due, the first of each later phase, the end."""
    if run.phase == "finish":
        return _finish(run.id)
    steps = [_batch(run.id, run.phase, run.seq), *(_batch(run.id, phase, 0) for phase in later_phases(run.phase))]
    return chain(*steps, _finish(run.id))


def _batch(sync_id: int, phase: Phase, seq: int) -> Signature:
    return _signature("spotisync.batch", {"sync_id": sync_id, "phase": phase, "seq": seq})


def _finish(sync_id: int) -> Signature:
    return _signature("spotisync.finish", {"sync_id": sync_id})


def _signature(name: str, kwargs: dict[str, Any]) -> Signature:
    return app.signature(name, kwargs=kwargs, queue=QUEUE, immutable=True)


def publish(run: Run) -> None:
    """Send the canvas. If the broker is away nothing is lost: `wake_at` is set, and sweep publishes it."""
    try:
        canvas(run).apply_async()
    except (OperationalError, RuntimeError) as error:  # Celery's Redis backend says RuntimeError when it is away
        log.warning("run %d could not be published (%s); sweep will", run.id, error)


def set_off(made: Run | Reading) -> None:
    """What the schedule has made."""
    if isinstance(made, Run):
        publish(made)
        return
    try:
        app.send_task("spotisync.track_playback", kwargs={"account": made.account}, expires=made.expires)
    except OperationalError as error:
        log.warning("plays of %s are not read (%s); the next reading has them", made.account, error)


def sweep_soon() -> None:
    """Have a worker look at once for what is due and whom to tell; beat's next sweep does it otherwise."""
    try:
        app.send_task("spotisync.sweep", retry=False, ignore_result=True)
    except OperationalError as error:
        log.warning("the broker is away (%s); beat's next sweep will look", error)


def go_on(task: Task, sync: Sync, sync_id: int, outcome: Outcome) -> dict[str, Any]:
    """Outcome to message. What is returned is the task's result; `stop` keeps Celery from publishing the next link."""
    with contextlib.suppress(OperationalError):  # a viewer's, and nothing must hang on it
        task.send_event("task-progress", retry=False, **outcome.result.as_dict())
    match outcome:
        case End(result):
            return result.as_dict()
        case More(phase, seq, result):
            _hand_on(task, sync, sync_id, _batch(sync_id, phase, seq))
            return stop(task, result)
        case Retry(seconds, _):
            raise task.retry(countdown=seconds)
        case Parked(_, result):
            return stop(task, result)
        case Stale(orphaned, result):
            if orphaned and (task.request.delivery_info or {}).get("redelivered"):
                publish_if_unfinished(sync, sync_id)
            return stop(task, result)
        case Over(_, result):
            answer(sync)
            return stop(task, result)


def _hand_on(task: Task, sync: Sync, sync_id: int, next_batch: Signature) -> None:
    """The next batch is a task of its own; the rest of the chain goes with it."""
    try:
        next_batch.apply_async(chain=task.request.chain, root_id=task.request.root_id, parent_id=task.request.id)
    except OperationalError as error:
        log.warning("the next batch could not be published (%s); sweep will", error)
        lifecycle.publish_later(sync, sync_id)


def stop(task: Task, result: BatchResult) -> dict[str, Any]:
    """End this task without the rest of its chain, which somebody else has, or nobody needs.

    That the tracer reads `request.chain` after the task has returned is not documented; a test pins it.
    """
    task.request.chain = None
    return result.as_dict()


@contextmanager
def until_postgres_is_back(task: Task) -> Iterator[None]:
    """Nothing can be decided without the database: the same message again in a few seconds."""
    try:
        yield
    except Unavailable as error:
        log.warning("%s; %s is tried again", error, task.name)
        raise task.retry(countdown=1 + 2 * random.random()) from None  # noqa: S311


def publish_if_unfinished(sync: Sync, sync_id: int) -> None:
    run = lifecycle.look(sync, sync_id)
    if run is not None and run.status == "in_progress":
        publish(run)


# ---- callers --------------------------------------------------------------------------------------------------------


def receive(task: Task, sync: Sync, trigger: Callable[[Caller], Triggered]) -> NoReturn:
    """The door of a trigger: note the caller, make or join the run, and end with Ignore; `answer` comes later."""
    caller = Caller(str(task.request.id), envelope(task.request))
    if not lifecycle.known_waiter(sync, caller.task_id):
        # Before the row exists: a second delivery must not overwrite the answer.
        try:
            task.update_state(state="SYNCING", meta={"task_id": caller.task_id})
        except Exception:  # noqa: BLE001 (the result backend's own kinds; the run does not need it)
            log.warning("the result backend is away; the state of %s can't be shown", caller.task_id)
    triggered = trigger(caller)
    if triggered.created:
        publish(triggered.run)
    answer(sync)
    raise Ignore


def envelope(request: Context) -> dict[str, Any]:
    return {name: value for name in ENVELOPE if (value := getattr(request, name, None)) is not None}


def answer(sync: Sync) -> None:
    """Tell every waiter whose run is over. At least once; each is taken by one process at a time."""
    while waiter := lifecycle.waiter_to_tell(sync):
        try:
            _tell(sync, waiter)
        except Exception as error:  # whatever a foreign message holds or the result backend raises: others wait, too
            log.warning("caller %s could not be told yet", waiter.task_id, exc_info=error)
            lifecycle.tell_later(sync, waiter)
        else:
            lifecycle.told(sync, waiter)


def _tell(sync: Sync, waiter: Waiter) -> None:
    """Follow-ups first, then the result: who sees a result knows that they were sent. All of it may be done twice."""
    # Celery looks into `delivery_info` without asking whether it is there.
    request = Context({"delivery_info": {}, **waiter.envelope})
    sent_before = waiter.tries > 1 and app.backend.get_state(waiter.task_id) in states.READY_STATES
    if waiter.status != "success":
        if not sent_before:
            _publish_errbacks(request, waiter)
        app.backend.mark_as_failure(waiter.task_id, failure(waiter), request=request, call_errbacks=False)
        return
    with sync.database.begin() as connection:
        summary = status.summary(connection, waiter.sync_id)
    if not sent_before:
        _publish_links(request, waiter, summary)
    app.backend.mark_as_done(waiter.task_id, summary, request=request)


def failure(waiter: Waiter) -> SpotisyncError:
    kind = SyncCancelled if waiter.status == "cancelled" else SyncFailed
    return kind(f"run {waiter.sync_id} {waiter.status}: {waiter.last_error or 'no reason given'}")


def _publish_links(request: Context, waiter: Waiter, summary: dict[str, Any]) -> None:
    """As the tracer does after a return: callbacks, then the next link."""
    options: dict[str, Any] = {"parent_id": waiter.task_id, "root_id": request.root_id or waiter.task_id}
    for callback in map(app.signature, request.callbacks or []):
        if not _known(callback, waiter):
            callback.apply_async((summary,), **options)
    if request.chain:
        rest = list(request.chain)
        link = app.signature(rest.pop())
        if not _known(link, waiter):
            link.apply_async((summary,), chain=rest, **options)


def _publish_errbacks(request: Context, waiter: Waiter) -> None:
    """Each under an id of its own that is the same at every attempt; it gets the id of the task that failed."""
    options: dict[str, Any] = {"parent_id": waiter.task_id, "root_id": request.root_id or waiter.task_id}
    for number, errback in enumerate(map(app.signature, request.errbacks or [])):
        if not isinstance(errback, group):
            errback.options.setdefault("task_id", str(uuid.uuid5(uuid.NAMESPACE_OID, f"{waiter.task_id}:{number}")))
        if not _known(errback, waiter):
            errback.apply_async((waiter.task_id,), **options)


def _known(link: Signature, waiter: Waiter) -> bool:
    """On a second attempt: whether the backend has heard of this link, so that the first one had sent it."""
    if waiter.tries == 1:
        return False
    task_id = None if isinstance(link, group) else link.options.get("task_id")
    return task_id is not None and app.backend.get_state(task_id) != states.PENDING
