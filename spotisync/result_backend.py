"""The result backend, where callers wait. It may lose everything; who was answered is recorded in `waiters`."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias
from uuid import NAMESPACE_URL, uuid5

from celery import states
from celery.app.task import Context as TaskContext
from celery.backends.redis import RedisBackend
from celery.utils.saferepr import saferepr

from spotisync import status
from spotisync.celery import app
from spotisync.errors import SpotisyncError, SyncCancelled, SyncFailed
from spotisync.store.database import split_password
from spotisync.store.waiters import Waiter
from spotisync.sync import Context, callers

log = logging.getLogger(__name__)
SYNCING = "SYNCING"
DAY = 86_400
Result: TypeAlias = dict[str, Any] | SpotisyncError
# The fields of a caller's message that hold its follow-ups, whose options name the groups that they belong to.
FOLLOW_UPS = ("chain", "chord", "callbacks")


# ---- the answer to a caller -----------------------------------------------------------------------------------------


def build_request(waiter: Waiter) -> Any:
    """A `TaskContext`. It lacks headers that Celery does not know and the message does not have."""
    # Celery reads `delivery_info` without checking that it is there.
    return TaskContext({"delivery_info": {}, **waiter.envelope})


def build_result(context: Context, waiter: Waiter) -> Result:
    """The summary of a successful run, else the error that the caller's `get()` raises."""
    if waiter.status == "success":
        with context.database.begin() as connection:
            return status.summary(connection, waiter.sync_id or 0)
    kind = SyncCancelled if waiter.status == "cancelled" else SyncFailed
    run = f"run {waiter.sync_id}" if waiter.sync_id else "the run"
    return kind(f"{run} {waiter.status}: {waiter.last_error or 'no error was recorded'}")


def store_result(waiter: Waiter, result: Result) -> None:
    """As Celery's tracer does, including the caller's part of a chord; errbacks are sent before."""
    request = build_request(waiter)
    if isinstance(result, SpotisyncError):
        app.backend.mark_as_failure(waiter.task_id, result, request=request, call_errbacks=False)
    else:
        app.backend.mark_as_done(waiter.task_id, result, request=request)


def send_final_event(waiter: Waiter, result: Result) -> None:
    """End the caller's row in Flower: the tracer sends no event for a task that ended with Ignore."""
    if isinstance(result, SpotisyncError):
        _send("task-failed", waiter.task_id, exception=saferepr(result), traceback="")
    else:
        _send("task-succeeded", waiter.task_id, result=saferepr(result, maxlen=1024), runtime=waiter.waited)


def send_progress_event(task_id: str, message: str) -> None:
    """Show `message` as the result of the caller's row in Flower; the state there is PROGRESS."""
    _send("task-progress", task_id, result=message)


def _send(event: str, task_id: str, **fields: Any) -> None:
    """Send a task event in the name of this worker. Only viewers need it, so every error is suppressed."""
    current: Any = app.current_worker_task
    with suppress(Exception), app.events.default_dispatcher(hostname=current and current.request.hostname) as events:
        events.send(event, uuid=task_id, retry=False, **fields)


# ---- Redis: keys expire, and data can be lost -----------------------------------------------------------------------


def maintain(context: Context) -> None:
    """Detect a loss of data, restore lost results, renew keys that callers need. A later sweep repeats what failed."""
    backend: Any = app.backend
    if not isinstance(backend, RedisBackend):
        return
    try:
        _detect_loss(context, backend)
        _restore(context, backend)
        _renew(context, backend)
    except Exception as error:  # noqa: BLE001 (each result backend raises its own classes; no run needs it)
        log.warning("results can't be maintained now: %s; the next sweep tries again", error)


def _detect_loss(context: Context, backend: Any) -> None:
    """If the deployment's sentinel, a key that never expires, is missing, everything else was lost too.

    Recorded in Postgres before the key is set: a crash in between records the loss twice rather than never.
    """
    address, _ = split_password(context.settings.database)
    sentinel = f"spotisync-results-{uuid5(NAMESPACE_URL, address)}"
    if not backend.client.exists(sentinel):
        callers.record_result_loss(context, backend.expires or DAY)
        backend.client.set(sentinel, "while this key exists, no result has been lost")


def _restore(context: Context, backend: Any) -> None:
    for waiter in callers.claim_lost_results(context):
        try:
            _restore_result(backend, waiter, build_result(context, waiter))
        except backend.connection_errors:
            raise
        except Exception as error:  # one result that can't be stored must not block the others
            log.warning("the result of %s could not be restored", waiter.task_id, exc_info=error)
        else:
            callers.mark_restored(context, waiter)


def _restore_result(backend: Any, waiter: Waiter, result: Result) -> None:
    """Store the result alone: links, errbacks and chords were handled when the caller was answered."""
    request = build_request(waiter)
    if not isinstance(result, SpotisyncError):
        if not request.ignore_result:
            backend.store_result(waiter.task_id, result, states.SUCCESS, request=request)
        return
    links = [link["options"].get("task_id") for link in request.chain or []]
    for task_id in filter(None, (waiter.task_id, *links)):
        backend.store_result(task_id, result, states.FAILURE, request=request if task_id == waiter.task_id else None)


def _renew(context: Context, backend: Any) -> None:
    """Keep a caller's state and the counters of its chord alive, since a run may outlast `result_expires`."""
    if not backend.expires:
        return
    for task_id, envelope in callers.claim_for_renewal(context):
        with backend.client.pipeline(transaction=False) as pipe:
            for group_id in groups_in(envelope):
                for part in ("", ".s", ".j", ".t"):  # group result of a nested header; chord size, results, adjustments
                    pipe.expire(backend.get_key_for_group(group_id, part), backend.expires)
            meta = {"task_id": task_id}
            state: dict[str, Any] = {"status": SYNCING, "result": meta, "traceback": None, "children": [], **meta}
            key = backend.get_key_for_task(task_id)
            # NX: an answer must never be overwritten.
            pipe.set(key, backend.encode(state), nx=True, ex=backend.expires)
            pipe.expire(key, backend.expires)
            pipe.execute()


def groups_in(envelope: dict[str, Any]) -> set[str]:
    """The ids of the groups that a caller, or one of its follow-ups, belongs to."""
    found = {str(envelope["group"])} if envelope.get("group") else set()
    return found | set(_group_ids([envelope.get(name) for name in FOLLOW_UPS]))


def _group_ids(part: Any) -> Iterator[str]:
    """From nested signatures, such as a chord in a chord."""
    if isinstance(part, list):
        for each in part:
            yield from _group_ids(each)
    elif isinstance(part, dict):
        options = part.get("options") or {}
        if group_id := options.get("group_id"):
            yield str(group_id)
        yield from _group_ids([options.get("chord"), options.get("link"), part.get("kwargs", {}).get("body")])
