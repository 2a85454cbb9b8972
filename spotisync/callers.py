"""Callers: check and receive trigger messages, and answer each caller when its run is over.

A caller's chain, callbacks and errbacks stay in `waiters` until then; `answer` does for each caller what Celery's
tracer does after a task returns.
"""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from celery import chord, group, states
from celery.app.task import Context as TaskContext
from celery.canvas import Signature, _chain
from celery.exceptions import Ignore

from spotisync import logs, result_backend, telemetry
from spotisync.canvas import OUTAGES, Task, publish, run_label
from spotisync.celery import app
from spotisync.core import arguments
from spotisync.errors import SpotisyncError, SyncFailed, Unavailable
from spotisync.result_backend import Result
from spotisync.store.waiters import Waiter
from spotisync.sync import Context, callers
from spotisync.sync.callers import Caller
from spotisync.sync.runs import Triggered

log = logging.getLogger(__name__)
# Per call of `answer`. A server that is away may cost seconds each time, a caller in trouble milliseconds.
MAX_OUTAGES = 3
MAX_FAILURES = 200
# Redis' answer where a key of this caller, such as that of its chord, holds what Celery has not written.
WRONG_TYPE = "WRONGTYPE"
# A caller whose answer fails is tried again after 3 s, 6 s, 12 s … 4 h, in all for more than a day.
MAX_ATTEMPTS = 20
LONGEST_PAUSE = 4 * 3600
# While the broker, the result backend or Postgres is away; these attempts are not counted.
LONGEST_OUTAGE_PAUSE = 60
# What an answer needs of the caller's message. `expires`, time limits and `retries` concern the trigger task alone.
ENVELOPE = (
    "id", "task", "root_id", "parent_id", "correlation_id", "reply_to", "group", "group_index", "chord", "chain",
    "callbacks", "errbacks", "stamps", "stamped_headers", "ignore_result", "origin", "args", "kwargs",
    "traceparent",
)  # fmt: skip


def check_arguments(task: Task, _task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Celery's `before_start` of the public tasks. Raises `Fatal`, which the caller's `get()` then raises.

    `spotisync.client` makes the same check before it publishes; other publishers may not.
    """
    arguments.check(str(task.name), args, kwargs)


def check_batch_arguments(task: Task, _task_id: str, _args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """As above, for the tasks that only this app publishes."""
    arguments.check_batch(str(task.name), kwargs)


def receive(task: Task, context: Context, trigger: Callable[[Caller], Triggered]) -> NoReturn:
    """Record the caller, start or join the run, and end the task with Ignore; `answer` stores the result later."""
    caller = Caller(str(task.request.id), envelope(task.request))
    if not callers.is_known_waiter(context, caller.task_id):
        # Before the waiter's row exists, so that a second delivery never overwrites the answer.
        try:
            task.update_state(state=result_backend.SYNCING, meta={"task_id": caller.task_id})
        except Exception as error:  # noqa: BLE001 (each result backend raises its own classes; the run needs none)
            log.warning("the state of %s can't be stored in the result backend: %s", caller.task_id, error)
        triggered = trigger(caller)
        logs.add_task_fields(run=triggered.run.id, account=triggered.run.account)
        result_backend.send_progress_event(caller.task_id, run_label(triggered.run.id, triggered.run.account))
        if triggered.created:
            publish(triggered.run)
    answer(context)
    raise Ignore


def envelope(request: TaskContext) -> dict[str, Any]:
    return {name: value for name in ENVELOPE if (value := getattr(request, name, None)) is not None}


# ---- answers --------------------------------------------------------------------------------------------------------


def answer(context: Context) -> None:
    """Answer every caller whose run is over, at least once. Raises only `Unavailable`; sweep repeats what failed."""
    try:
        _answer_all(context)
    except Unavailable:
        raise
    except Exception:  # it would fail a trigger task whose caller is recorded and gets an answer later
        log.exception("callers can't be answered now; the next sweep tries again")


def _answer_all(context: Context) -> None:
    """Each waiter is claimed by one process at a time."""
    outages = failures = 0
    while outages < MAX_OUTAGES and failures < MAX_FAILURES and (waiter := callers.claim_waiter(context)):
        try:
            _answer_one(context, waiter)
        except Exception as error:  # noqa: BLE001 (a foreign message or the result backend may raise anything)
            _postpone_or_give_up(context, waiter, error)
            failures += 1
            outages += _is_outage(error)
        else:
            callers.mark_answered(context, waiter.task_id)


def _postpone_or_give_up(context: Context, waiter: Waiter, error: Exception) -> None:
    failed = not _is_outage(error)
    if isinstance(error, MalformedMessageError) or (failed and waiter.failures + 1 >= MAX_ATTEMPTS):
        return _give_up(context, waiter, error)
    log.warning("caller %s could not be answered; a later sweep tries again", waiter.task_id, exc_info=error)
    longest = LONGEST_PAUSE if failed else LONGEST_OUTAGE_PAUSE
    seconds = min(longest, 3 * 2 ** min(waiter.failures if failed else waiter.tries, 16))
    callers.postpone_waiter(context, waiter.task_id, seconds, failed=failed)
    return None


def _is_outage(error: Exception) -> bool:
    """Whether a server was away. Celery's Redis backend raises a RuntimeError from the error of its connection."""
    if WRONG_TYPE in str(error):
        return False
    return any(isinstance(each, (Unavailable, *OUTAGES)) for each in (error, error.__cause__))


def _give_up(context: Context, waiter: Waiter, error: Exception) -> None:
    """Fail the caller's task, if the result backend accepts that, and record the reason for `spotisync doctor`."""
    reason = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode().replace("\0", "")[:500]
    log.error(
        "caller %s of run %s is given up after %d attempts (%s); its links, callbacks and errbacks are not sent",
        waiter.task_id,
        waiter.sync_id,
        waiter.failures + 1,
        reason,
    )
    failure = SyncFailed(f"run {waiter.sync_id} ended with {waiter.status}, but its answer can't be sent: {reason}")
    with suppress(Exception):  # the caller's message may be what can't be handled
        result_backend.store_result(waiter, failure)
    callers.give_up_waiter(context, waiter.task_id, reason)


def _answer_one(context: Context, waiter: Waiter) -> None:
    """Send the follow-ups, then store the result: a visible result proves that they were sent. May run twice."""
    request = result_backend.build_request(waiter)
    sent_before = waiter.tries > 1 and app.backend.get_state(waiter.task_id) in states.READY_STATES
    result = result_backend.build_result(context, waiter)
    if not sent_before:
        for follow_up, argument, options in _read_follow_ups(request, waiter, result):
            unsent = follow_up if waiter.tries == 1 else find_unsent(follow_up)
            if unsent is not None:
                with telemetry.within(request.get("traceparent")):
                    unsent.apply_async((argument,), parent_id=waiter.task_id, **options)
    result_backend.store_result(waiter, result)
    result_backend.send_final_event(waiter, result)


class MalformedMessageError(Exception):
    """No attempt can read this field of a caller's message."""


def _read_follow_ups(request: Any, waiter: Waiter, result: Result) -> list[tuple[Signature, Any, dict[str, Any]]]:
    """All of them, so that none is sent if one is malformed."""
    field = ""
    try:
        for field in ("chain", "callbacks", "errbacks"):
            for follow_up in _check_type(getattr(request, field), list | tuple) or ():
                check_follow_up(follow_up)
        return list(_follow_ups(request, waiter, result))
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise MalformedMessageError(f"{field} of its message is malformed") from error


def check_follow_up(follow_up: Any) -> None:
    """Raises TypeError, LookupError or AttributeError unless it is a signature, with all its parts."""
    if not isinstance(follow_up.get("task"), str):
        raise TypeError("a signature must name a task")
    _check_type(follow_up.get("args"), list | tuple)
    _check_type(follow_up.get("kwargs"), dict)
    _check_type(follow_up.get("options"), dict)
    if kind := follow_up.get("subtask_type"):
        Signature.TYPES[kind]  # unknown: a KeyError, as in Celery
    for part in get_parts(follow_up):
        check_follow_up(part)
    if kind == "chord":
        check_follow_up(follow_up["kwargs"]["body"])


def _check_type(value: Any, wanted: Any) -> Any:
    if value is not None and not isinstance(value, wanted):
        raise TypeError(f"{type(value).__name__} instead of {wanted}")
    return value


def _follow_ups(request: Any, waiter: Waiter, result: Result) -> Iterator[tuple[Signature, Any, dict[str, Any]]]:
    """As the tracer does after a return: callbacks, then the next link. Errbacks get the id of the failed task."""
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
    """Give every part without a task id one that is the same at each attempt. Links of a chain have theirs already."""
    kwargs = follow_up.get("kwargs") or {}
    if follow_up.get("subtask_type") != "chain":
        task_id = follow_up.setdefault("options", {}).setdefault("task_id", str(uuid.uuid5(uuid.NAMESPACE_OID, seed)))
        if follow_up.get("subtask_type") == "chord":  # Celery gives the body the chord's own id
            kwargs["body"].setdefault("options", {}).setdefault("task_id", task_id)
    for number, part in enumerate(get_parts(follow_up)):
        assign_task_ids(part, f"{seed}:{number}")


def get_parts(follow_up: dict[str, Any]) -> list[dict[str, Any]]:
    """The members of a group, of a chord's header or of a chain, as they are in a message."""
    kwargs = follow_up.get("kwargs") or {}
    if follow_up.get("subtask_type") not in {"group", "chord", "chain"}:
        return []
    parts = kwargs.get("tasks") or kwargs.get("header") or []
    return list(parts["kwargs"]["tasks"] if isinstance(parts, dict) else parts)


def find_unsent(follow_up: Signature) -> Signature | None:
    """On a second attempt: the part that the result backend does not know, so that the first may not have sent it.

    Members of a group are looked up one by one. A chord is sent again as a whole: where one member of its header is
    unknown, the others run again, each under its own id. A member that is still queued, or that stores no result,
    can't be recognised.
    """
    if isinstance(follow_up, group):
        unsent = [part for part in _parts(follow_up) if not _is_known(part)]
        return group(unsent, app=app, **follow_up.options) if unsent else None
    return None if _is_known(follow_up) else follow_up


def _is_known(follow_up: Signature) -> bool:
    match follow_up:
        case chord():
            return _is_known(follow_up.body) or all(map(_is_known, _parts(follow_up)))
        case group():
            return all(map(_is_known, _parts(follow_up)))
        case _chain():
            return _is_known(_parts(follow_up)[0])
    task_id = follow_up.options.get("task_id")
    return task_id is not None and app.backend.get_state(task_id) != states.PENDING


def _parts(follow_up: Signature) -> list[Signature]:
    """The members of a group, of a chord's header or of a chain."""
    if not isinstance(follow_up, group | chord | _chain):
        return []
    return [app.signature(part) for part in getattr(follow_up.tasks, "tasks", follow_up.tasks)]
