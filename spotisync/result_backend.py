"""The result backend: where callers look. It may lose everything at any time; whom we have told stands in `waiters`."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from celery import states
from celery.app.task import Context as TaskContext
from celery.backends.redis import RedisBackend
from celery.utils.saferepr import saferepr

from spotisync import status
from spotisync.celery import app
from spotisync.errors import SpotisyncError, SyncCancelled, SyncFailed
from spotisync.store.database import address_and_password
from spotisync.store.waiters import Waiter
from spotisync.sync import Context, callers

log = logging.getLogger(__name__)
SYNCING = "SYNCING"
DAY = 86_400
# What a caller's message holds for later: only there can groups stand that a follow-up is a part of.
FOLLOW_UPS = ("chain", "chord", "callbacks")


# ---- what a caller is told ------------------------------------------------------------------------------------------


def build_request(waiter: Waiter) -> Any:
    """A `TaskContext`, which has whatever attribute one asks for."""
    # Celery looks into `delivery_info` without asking whether it is there.
    return TaskContext({"delivery_info": {}, **waiter.envelope})


def summary(context: Context, waiter: Waiter) -> dict[str, Any]:
    with context.database.begin() as connection:
        return status.summary(connection, waiter.sync_id or 0)


def failure(waiter: Waiter) -> SpotisyncError:
    kind = SyncCancelled if waiter.status == "cancelled" else SyncFailed
    run = f"run {waiter.sync_id}" if waiter.sync_id else "the run"
    return kind(f"{run} {waiter.status}: {waiter.last_error or 'no reason given'}")


def store_result(waiter: Waiter, result: dict[str, Any] | SpotisyncError) -> None:
    """As Celery's tracer does, the caller's part of a chord included; but for the errbacks, which are sent before."""
    request = build_request(waiter)
    if isinstance(result, SpotisyncError):
        app.backend.mark_as_failure(waiter.task_id, result, request=request, call_errbacks=False)
    else:
        app.backend.mark_as_done(waiter.task_id, result, request=request)


def send_final_event(waiter: Waiter, result: dict[str, Any] | SpotisyncError) -> None:
    """The event that ends the caller's row in Flower: the tracer sends none for a task that ended with Ignore."""
    if isinstance(result, SpotisyncError):
        _send("task-failed", waiter.task_id, exception=saferepr(result), traceback="")
    else:
        _send("task-succeeded", waiter.task_id, result=saferepr(result, maxlen=1024), runtime=waiter.waited)


def send_progress_event(task_id: str, words: str) -> None:
    """In the caller's row in Flower, in its column for results; the state there reads PROGRESS."""
    _send("task-progress", task_id, result=words)


def _send(event: str, task_id: str, **fields: Any) -> None:
    """Viewers take it for one of the worker that sends it. Nothing hangs on it, so whatever goes wrong is let go."""
    here: Any = app.current_worker_task
    with suppress(Exception), app.events.default_dispatcher(hostname=here and here.request.hostname) as events:
        events.send(event, uuid=task_id, retry=False, **fields)


# ---- Redis and its kin: keys expire, and data can go ----------------------------------------------------------------


def maintain(context: Context) -> None:
    """Notice a loss, store again what was lost, keep what is waited for. Whatever fails is left to a later sweep."""
    backend: Any = app.backend
    if not isinstance(backend, RedisBackend):
        return
    try:
        _notice_loss(context, backend)
        _restore(context, backend)
        _keep(context, backend)
    except Exception as error:  # noqa: BLE001 (the backend's own kinds; no run needs it)
        log.warning("results can't be looked after now: %s", error)


def _notice_loss(context: Context, backend: Any) -> None:
    """A key of this deployment that never expires is gone: so is everything else.

    Noted in Postgres before the key is set, so that a crash in between notes it twice rather than never.
    """
    address, _ = address_and_password(context.settings.database)
    sentinel = f"spotisync-results-{uuid5(NAMESPACE_URL, address)}"
    if not backend.client.exists(sentinel):
        callers.record_result_loss(context, backend.expires or DAY)
        backend.client.set(sentinel, "as long as this is here, no result was lost")


def _restore(context: Context, backend: Any) -> None:
    for waiter in callers.claim_lost_results(context):
        try:
            _store_again(backend, waiter, summary(context, waiter) if waiter.status == "success" else failure(waiter))
        except backend.connection_errors:
            raise
        except Exception as error:  # one that can't be stored must not keep the others from it
            log.warning("the result of %s could not be stored again", waiter.task_id, exc_info=error)
        else:
            callers.mark_restored(context, waiter)


def _store_again(backend: Any, waiter: Waiter, result: dict[str, Any] | SpotisyncError) -> None:
    """The result alone. Links, errbacks and chords were served when the caller was told."""
    request = build_request(waiter)
    if not isinstance(result, SpotisyncError):
        if not request.ignore_result:
            backend.store_result(waiter.task_id, result, states.SUCCESS, request=request)
        return
    links = [link["options"].get("task_id") for link in request.chain or []]
    for task_id in filter(None, (waiter.task_id, *links)):
        backend.store_result(task_id, result, states.FAILURE, request=request if task_id == waiter.task_id else None)


def _keep(context: Context, backend: Any) -> None:
    """A run may outlast `result_expires`: the counters of a caller's chord, and its own state, live on meanwhile."""
    if not backend.expires:
        return
    for task_id, envelope in callers.claim_for_renewal(context):
        with backend.client.pipeline(transaction=False) as pipe:
            for group_id in groups_in(envelope):
                for part in ("", ".s", ".j", ".t"):  # what a nested header saves; size, results, corrections
                    pipe.expire(backend.get_key_for_group(group_id, part), backend.expires)
            state: dict[str, Any] = {
                "status": SYNCING,
                "result": {"task_id": task_id},
                "traceback": None,
                "children": [],
            }
            key = backend.get_key_for_task(task_id)
            # Only where there is none, in one step: an answer must never be overwritten.
            pipe.set(key, backend.encode({**state, "task_id": task_id}), nx=True, ex=backend.expires)
            pipe.expire(key, backend.expires)
            pipe.execute()


def groups_in(envelope: dict[str, Any]) -> set[str]:
    """The groups that a caller, or one of its follow-ups, is a part of."""
    found = {str(envelope["group"])} if envelope.get("group") else set()
    return found | set(_group_ids([envelope.get(name) for name in FOLLOW_UPS]))


def _group_ids(part: Any) -> Iterator[str]:
    """From signatures in signatures, as deep as they go: chords in chords."""
    if isinstance(part, list):
        for each in part:
            yield from _group_ids(each)
    elif isinstance(part, dict):
        options = part.get("options") or {}
        if group_id := options.get("group_id"):
            yield str(group_id)
        yield from _group_ids([options.get("chord"), options.get("link"), part.get("kwargs", {}).get("body")])
