"""The Celery tasks. Their names and arguments are public: JSON only, keyword arguments only."""

from typing import Any

from spotisync import callers, canvas, notifications, result_backend, workflow
from spotisync.callers import check_arguments, check_batch_arguments
from spotisync.canvas import Task
from spotisync.celery import app, context
from spotisync.core.states import Phase
from spotisync.sync import playback, runs, schedule
from spotisync.sync.batch import run_batch
from spotisync.sync.enrich import enrich as drain
from spotisync.sync.housekeeping import delete_old_rows
from spotisync.sync.runs import SyncType

# `max_retries=None` is set here because `Task.retry` takes a None for the default of three.
# `track_started` is off where `receive` sets the state: a second delivery must not overwrite an answer.


@app.task(bind=True, name="spotisync.full_sync", max_retries=None, track_started=False, before_start=check_arguments)
def full_sync(self: Task, *, account: str | None = None, idempotency_key: str | None = None) -> None:
    """Sync the whole library of an account. The result, once the run is over, is its summary."""
    _trigger(self, "full", account, idempotency_key)


@app.task(
    bind=True, name="spotisync.incremental_sync", max_retries=None, track_started=False, before_start=check_arguments
)
def incremental_sync(self: Task, *, account: str | None = None, idempotency_key: str | None = None) -> None:
    """Sync what has changed in an account's library. The result, once the run is over, is its summary."""
    _trigger(self, "incremental", account, idempotency_key)


def _trigger(self: Task, sync_type: SyncType, account: str | None, key: str | None) -> None:
    with workflow.retry_when_unavailable(self):
        callers.receive(
            self,
            context(),
            lambda caller: runs.trigger(context(), account, sync_type, "task", idempotency_key=key, caller=caller),
        )


@app.task(bind=True, name="spotisync.resume_sync", max_retries=None, track_started=False, before_start=check_arguments)
def resume_sync(self: Task, *, sync_id: int) -> None:
    """Resume a failed or cancelled run. The result, once the run is over, is its summary."""
    with workflow.retry_when_unavailable(self):
        callers.receive(self, context(), lambda caller: runs.resume(context(), sync_id, caller))


@app.task(bind=True, name="spotisync.cancel_sync", max_retries=None, before_start=check_arguments)
def cancel_sync(self: Task, *, sync_id: int) -> dict[str, Any]:
    """Cancel a run at once, in any unfinished state."""
    with workflow.retry_when_unavailable(self):
        run = runs.cancel(context(), sync_id)
        callers.answer(context())
        return {"sync_id": run.id, "status": run.status}


@app.task(bind=True, name="spotisync.batch", max_retries=None, before_start=check_batch_arguments)
def batch(self: Task, *, sync_id: int, phase: Phase, seq: int) -> dict[str, Any]:
    """Run one batch of a phase. The message names the batch; its state is in Postgres."""
    with workflow.retry_when_unavailable(self):
        return workflow.publish_next(self, context(), sync_id, run_batch(context(), sync_id, phase, seq))


@app.task(bind=True, name="spotisync.finish", max_retries=None, before_start=check_batch_arguments)
def finish(self: Task, *, sync_id: int) -> dict[str, Any]:
    """Finish the run and answer its callers: the last link of the chain."""
    with workflow.retry_when_unavailable(self):
        finished = runs.finish(context(), sync_id)
        callers.answer(context())
        return {"sync_id": sync_id, "finished": finished}


@app.task(bind=True, name="spotisync.enrich", max_retries=None, before_start=check_arguments)
def enrich(self: Task) -> dict[str, Any]:
    """Look up one batch of deferred artists or albums, if API calls are free; publish the next batch's task."""
    with workflow.retry_when_unavailable(self):
        done = drain(context())
        if done.more:
            canvas.request_enrich()
        return {"family": done.family, "looked_up": done.looked_up, "more": done.more}


@app.task(name="spotisync.sweep", ignore_result=True)
def sweep(*, scheduled: bool = False, rejected: int = 0) -> None:
    """Publish due runs, answer callers, and maintain their results in the result backend.

    `scheduled`: sent by beat, and therefore recorded as beat's heartbeat. `rejected`: messages that the worker has
    removed from the broker since it last sent this.
    """
    if rejected > 0:
        runs.record_rejections(context(), rejected)
    due = runs.take_due_runs(context(), scheduled=scheduled)
    has_room = bool(due) and canvas.has_room()
    for run in due:
        if not (has_room and canvas.publish(run)):
            runs.publish_later(context(), run.id)
    callers.answer(context())
    result_backend.maintain(context())


@app.task(name="spotisync.housekeeping", ignore_result=True)
def housekeeping(*, scheduled: bool = False) -> None:
    """Delete old rows for a few seconds; publish the next message until none is left.

    `scheduled`: sent by beat, and therefore ignored while such messages follow each other.
    """
    if delete_old_rows(context(), scheduled=scheduled):
        canvas.request_housekeeping()


@app.task(name="spotisync.tell", ignore_result=True, soft_time_limit=30, time_limit=60)
def tell() -> None:
    """Send due notifications to SPOTISYNC_NOTIFY; retry later those that can't be sent now."""
    notifications.send_due(context())


@app.task(bind=True, name="spotisync.tick", max_retries=None, ignore_result=True)
def tick(self: Task) -> None:
    """Start due schedules. Idempotent: several messages, or several beats, start each one once."""
    with workflow.retry_when_unavailable(self):
        for due in schedule.take_due(context()):
            canvas.dispatch(due)


@app.task(bind=True, name="spotisync.track_playback", max_retries=None, before_start=check_arguments)
def track_playback(self: Task, *, account: str | None = None) -> dict[str, Any]:
    """Read recently played of one account or of all. The next read, which returns 50 plays, covers a failed one."""
    with workflow.retry_when_unavailable(self):
        return playback.track_plays(context(), account)
