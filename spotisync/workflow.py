"""The canvas of a run, and what happens after a batch: outcome to message.

There are two canvases. Ours, the chain of phases, carries nothing of a caller and can be rebuilt from the run row at
any time. A caller's chain, callbacks and errbacks lie in `waiters` until the run is over; `answer` then does for each
what Celery's tracer does after a task returns.
"""

import contextlib
import logging
import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias

import celery
from celery import chain, chord, group, states
from celery.app.task import Context as TaskContext
from celery.canvas import Signature, _chain
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from spotisync import logs, result_backend
from spotisync.celery import app
from spotisync.core import arguments
from spotisync.core.outcomes import BatchResult, More, Outcome, Parked, PhaseEnded, Retry, RunEnded, Stale
from spotisync.core.states import Phase, later_phases
from spotisync.errors import SpotisyncError, Stopping, Unavailable
from spotisync.store.runs import Run
from spotisync.store.waiters import Waiter
from spotisync.sync import Context, runs
from spotisync.sync.runs import Caller, Triggered
from spotisync.sync.schedule import PlaybackDue

log = logging.getLogger(__name__)
Task: TypeAlias = "celery.Task[Any, Any]"
QUEUE = "spotisync.sync"
MOST_FAILURES = 3  # to tell a caller, in one go
# What an answer needs of the caller's message. Not `expires`, time limits or `retries`: they were the door's.
ENVELOPE = (
    "id", "task", "root_id", "parent_id", "correlation_id", "reply_to", "group", "group_index", "chord", "chain",
    "callbacks", "errbacks", "stamps", "stamped_headers", "ignore_result", "origin", "args", "kwargs",
)  # fmt: skip


# ---- our canvas -----------------------------------------------------------------------------------------------------


def canvas(run: Run) -> Signature:
    """From the run row alone: the batch that is due, the first of each later phase, the end."""
    label = _label(run.id, run.account)
    finish = _signature("spotisync.finish", {"sync_id": run.id}, f"{label}, the end")
    if run.phase == "finish":
        return finish
    later = (_batch(run.id, phase, 0, run.account) for phase in later_phases(run.phase))
    return chain(_batch(run.id, run.phase, run.seq, run.account), *later, finish)


def _label(sync_id: int, account: str) -> str:
    return f"run {sync_id} of {account}"


def _batch(sync_id: int, phase: Phase, seq: int, account: str) -> Signature:
    label = f"{_label(sync_id, account)}, {phase}, batch {seq}"
    return _signature("spotisync.batch", {"sync_id": sync_id, "phase": phase, "seq": seq}, label)


def _signature(name: str, kwargs: dict[str, Any], label: str) -> Signature:
    """`label` is what logs and Flower show for the arguments."""
    return app.signature(name, kwargs=kwargs, queue=QUEUE, immutable=True, kwargsrepr=label)


def publish(run: Run) -> bool:
    """Send the canvas. False: the broker is away. Nothing is lost: `wake_at` is set, and sweep publishes it."""
    try:
        canvas(run).apply_async()
    except (OperationalError, RuntimeError) as error:  # Celery's Redis backend says RuntimeError when it is away
        log.warning("run %d could not be published (%s); sweep will", run.id, error)
        return False
    return True


def dispatch(made: Run | PlaybackDue) -> None:
    """What the schedule has made."""
    if isinstance(made, Run):
        publish(made)
        return
    try:
        app.send_task("spotisync.track_playback", kwargs={"account": made.account}, expires=made.expires)
    except OperationalError as error:
        log.warning("plays of %s are not read (%s); the next reading has them", made.account, error)


def request_sweep() -> None:
    """Have a worker look at once for what is due and whom to tell; beat's next sweep does it otherwise."""
    try:
        app.send_task("spotisync.sweep", retry=False, ignore_result=True)
    except (OperationalError, RuntimeError) as error:
        log.warning("the broker is away (%s); beat's next sweep will look", error)


def request_enrich() -> None:
    """The next batch of the backlog is a task of its own; without a broker, beat's next one goes on."""
    try:
        app.send_task("spotisync.enrich", retry=False, ignore_result=True)
    except OperationalError as error:
        log.warning("the broker is away (%s); beat's next look-ups go on", error)


def publish_next(task: Task, context: Context, sync_id: int, outcome: Outcome) -> dict[str, Any]:
    """Outcome to message. What is returned is the task's result; `stop` keeps Celery from publishing the next link."""
    _show(task, context, sync_id, outcome.result)
    match outcome:
        case PhaseEnded(result):
            return result.as_dict()
        case More(phase, seq, result, account):
            _publish_batch(task, context, sync_id, _batch(sync_id, phase, seq, account))
            return end_without_chain(task, result)
        case Retry(seconds, _):
            raise _again(task, seconds)
        case Parked(_, result):
            return end_without_chain(task, result)
        case Stale(orphaned, result):
            if orphaned and (task.request.delivery_info or {}).get("redelivered"):
                publish_if_unfinished(context, sync_id)
            return end_without_chain(task, result)
        case RunEnded(_, result):
            answer(context)
            return end_without_chain(task, result)


def _show(task: Task, context: Context, sync_id: int, result: BatchResult) -> None:
    """In the rows of the batch and of those who wait for its run. A viewer's: nothing must hang on it."""
    with contextlib.suppress(OperationalError, Unavailable):
        task.send_event("task-progress", retry=False, **result.as_dict(), result=result.describe())
        for task_id in runs.list_waiting_task_ids(context, sync_id):
            result_backend.send_progress_event(task_id, f"{task.request.get('kwargsrepr')}: {result.describe()}")


def _publish_batch(task: Task, context: Context, sync_id: int, next_batch: Signature) -> None:
    """The next batch is a task of its own; the rest of the chain goes with it."""
    try:
        next_batch.apply_async(chain=task.request.chain, root_id=task.request.root_id, parent_id=task.request.id)
    except OperationalError as error:
        log.warning("the next batch could not be published (%s); sweep will", error)
        runs.publish_later(context, sync_id)


def end_without_chain(task: Task, result: BatchResult) -> dict[str, Any]:
    """End this task without the rest of its chain, which somebody else has, or nobody needs.

    That the tracer reads `request.chain` after the task has returned is not documented; a test pins it.
    """
    task.request.chain = None
    return result.as_dict()


@contextmanager
def until_postgres_is_back(task: Task) -> Iterator[None]:
    """Nothing can be decided without the database: the same message again in a few seconds.

    In a worker that is asked to stop, at once: another one takes it.
    """
    try:
        yield
    except Unavailable as error:
        log.warning("%s; %s is tried again", error, task.name)
        raise _again(task, 1 + 2 * random.random()) from None  # noqa: S311
    except Stopping:
        raise _again(task, 0) from None


def _again(task: Any, seconds: float) -> Exception:
    """The same message, with its label, which Celery would not take over."""
    retry: Exception = task.retry(countdown=seconds, kwargsrepr=task.request.get("kwargsrepr"))
    return retry


def publish_if_unfinished(context: Context, sync_id: int) -> None:
    run = runs.get_run(context, sync_id)
    if run is not None and run.status == "in_progress":
        publish(run)


# ---- callers --------------------------------------------------------------------------------------------------------


def check_arguments(task: Task, _task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Celery calls it before a door: anybody may have sent the message. Raises `Fatal`, which `get()` raises there.

    What `spotisync.client` sends was asked the same before it was sent.
    """
    arguments.check(str(task.name), args, kwargs)


def receive(task: Task, context: Context, trigger: Callable[[Caller], Triggered]) -> NoReturn:
    """The door of a trigger: note the caller, make or join the run, and end with Ignore; `answer` comes later."""
    caller = Caller(str(task.request.id), envelope(task.request))
    if not runs.is_known_waiter(context, caller.task_id):
        # Before the row exists: a second delivery must not overwrite the answer.
        try:
            task.update_state(state=result_backend.SYNCING, meta={"task_id": caller.task_id})
        except Exception:  # noqa: BLE001 (the result backend's own kinds; the run does not need it)
            log.warning("the result backend is away; the state of %s can't be shown", caller.task_id)
        triggered = trigger(caller)
        logs.add_task_fields(run=triggered.run.id, account=triggered.run.account)
        result_backend.send_progress_event(caller.task_id, _label(triggered.run.id, triggered.run.account))
        if triggered.created:
            publish(triggered.run)
    answer(context)
    raise Ignore


def envelope(request: TaskContext) -> dict[str, Any]:
    return {
        assign_task_ids: value
        for assign_task_ids in ENVELOPE
        if (value := getattr(request, assign_task_ids, None)) is not None
    }


def answer(context: Context) -> None:
    """Tell every waiter whose run is over. Raises `Unavailable` alone.

    Anything else would fail a door whose caller is noted already, and told twice then; sweep tries again.
    """
    try:
        _answer_all(context)
    except Unavailable:
        raise
    except Exception:
        log.exception("callers can't be told now")


def _answer_all(context: Context) -> None:
    """At least once; each is taken by one process at a time."""
    failures = 0
    # After a few the result backend or the broker is likely away, and each try may take long: a later sweep goes on.
    while failures < MOST_FAILURES and (waiter := runs.claim_waiter(context)):
        try:
            _answer_one(context, waiter)
        except Exception as error:  # whatever a foreign message holds or the result backend raises: others wait, too
            log.warning("caller %s could not be told yet", waiter.task_id, exc_info=error)
            runs.postpone_waiter(context, waiter)
            failures += 1
        else:
            runs.mark_answered(context, waiter)


def _answer_one(context: Context, waiter: Waiter) -> None:
    """Follow-ups first, then the result: who sees a result knows that they were sent. All of it may be done twice."""
    request = result_backend.build_request(waiter)
    sent_before = waiter.tries > 1 and app.backend.get_state(waiter.task_id) in states.READY_STATES
    result = result_backend.summary(context, waiter) if waiter.status == "success" else result_backend.failure(waiter)
    if not sent_before:
        for follow_up, argument, options in _follow_ups(request, waiter, result):
            unsent = follow_up if waiter.tries == 1 else _unsent(follow_up)
            if unsent is not None:
                unsent.apply_async((argument,), parent_id=waiter.task_id, **options)
    result_backend.store_result(waiter, result)
    result_backend.send_final_event(waiter, result)


def _follow_ups(
    request: Any, waiter: Waiter, result: dict[str, Any] | SpotisyncError
) -> Iterator[tuple[Signature, Any, dict[str, Any]]]:
    """As the tracer does after a return: callbacks, then the next link. Errbacks get the id of the task that failed."""
    options: dict[str, Any] = {"root_id": request.root_id or waiter.task_id}
    failed = isinstance(result, SpotisyncError)
    kind, given = ("errback", request.errbacks) if failed else ("callback", request.callbacks)
    for number, follow_up in enumerate(given or []):
        assign_task_ids(follow_up, f"{waiter.task_id}:{kind}:{number}")
        yield app.signature(follow_up), waiter.task_id if failed else result, options
    if request.chain and not failed:
        *rest, link = request.chain
        yield app.signature(link), result, {**options, "chain": rest}


def assign_task_ids(follow_up: dict[str, Any], seed: str) -> None:
    """Give what has no task id one that is the same at every attempt; the links of a chain have theirs already."""
    kwargs = follow_up.get("kwargs") or {}
    if follow_up.get("subtask_type") != "chain":
        task_id = follow_up.setdefault("options", {}).setdefault("task_id", str(uuid.uuid5(uuid.NAMESPACE_OID, seed)))
        if follow_up.get("subtask_type") == "chord":  # whose body Celery gives the chord's own id
            kwargs["body"].setdefault("options", {}).setdefault("task_id", task_id)
    if follow_up.get("subtask_type") in {"group", "chord", "chain"}:
        parts = kwargs.get("tasks") or kwargs.get("header") or []
        for number, part in enumerate(parts["kwargs"]["tasks"] if isinstance(parts, dict) else parts):
            assign_task_ids(part, f"{seed}:{number}")


def _parts(follow_up: Signature) -> list[Signature]:
    """What a group, a chord's header or a chain consists of."""
    if not isinstance(follow_up, group | chord | _chain):
        return []
    return [app.signature(part) for part in getattr(follow_up.tasks, "tasks", follow_up.tasks)]


def _unsent(follow_up: Signature) -> Signature | None:
    """On a second attempt: what of it the result backend has not heard of, so that the first one may not have sent it.

    The members of a group one by one. A chord as a whole: sent again for the sake of one member of its header, the
    others run again, each under its own id. A member that waits in its queue, or stores no result, can't be known.
    """
    if isinstance(follow_up, group):
        unsent = [part for part in _parts(follow_up) if not _known(part)]
        return group(unsent, app=app, **follow_up.options) if unsent else None
    return None if _known(follow_up) else follow_up


def _known(follow_up: Signature) -> bool:
    match follow_up:
        case chord():
            return _known(follow_up.body) or all(map(_known, _parts(follow_up)))
        case group():
            return all(map(_known, _parts(follow_up)))
        case _chain():
            return _known(_parts(follow_up)[0])
    task_id = follow_up.options.get("task_id")
    return task_id is not None and app.backend.get_state(task_id) != states.PENDING
