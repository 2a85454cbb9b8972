"""The tasks: doors of a few lines, by the names that outsiders rely on. JSON only, keyword arguments only."""

from typing import Any

from spotisync import callers, canvas, notifications, result_backend, workflow
from spotisync.callers import check_arguments
from spotisync.canvas import Task
from spotisync.celery import app, context
from spotisync.core.states import Phase
from spotisync.sync import playback, runs, schedule
from spotisync.sync.batch import run_batch
from spotisync.sync.enrich import enrich as drain
from spotisync.sync.runs import SyncType

# `max_retries=None` has to stand here: handed to `retry` it means the default, which is three.
# `track_started` is off where the door sets its own state: a second delivery must not overwrite an answer.


@app.task(bind=True, name="spotisync.full_sync", max_retries=None, track_started=False, before_start=check_arguments)
def full_sync(self: Task, *, account: str | None = None, idempotency_key: str | None = None) -> None:
    """Sync the whole library of an account. The result is the summary, once the run is over."""
    _trigger(self, "full", account, idempotency_key)


@app.task(
    bind=True, name="spotisync.incremental_sync", max_retries=None, track_started=False, before_start=check_arguments
)
def incremental_sync(self: Task, *, account: str | None = None, idempotency_key: str | None = None) -> None:
    """Read what has changed in the library of an account. The result is the summary, once the run is over."""
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
    """Go on with a run that failed or was cancelled. The result is the summary, once the run is over."""
    with workflow.retry_when_unavailable(self):
        callers.receive(self, context(), lambda caller: runs.resume(context(), sync_id, caller))


@app.task(bind=True, name="spotisync.cancel_sync", max_retries=None, before_start=check_arguments)
def cancel_sync(self: Task, *, sync_id: int) -> dict[str, Any]:
    """End a run now, whatever it is doing or waiting for."""
    with workflow.retry_when_unavailable(self):
        run = runs.cancel(context(), sync_id)
        callers.answer(context())
        return {"sync_id": run.id, "status": run.status}


@app.task(bind=True, name="spotisync.batch", max_retries=None)
def batch(self: Task, *, sync_id: int, phase: Phase, seq: int) -> dict[str, Any]:
    """One batch of one phase. The message names the work and carries no state."""
    with workflow.retry_when_unavailable(self):
        return workflow.publish_next(self, context(), sync_id, run_batch(context(), sync_id, phase, seq))


@app.task(bind=True, name="spotisync.finish", max_retries=None)
def finish(self: Task, *, sync_id: int) -> dict[str, Any]:
    """The end of the chain."""
    with workflow.retry_when_unavailable(self):
        finished = runs.finish(context(), sync_id)
        callers.answer(context())
        return {"sync_id": sync_id, "finished": finished}


@app.task(bind=True, name="spotisync.enrich", max_retries=None, before_start=check_arguments)
def enrich(self: Task) -> dict[str, Any]:
    """Look up some of what runs have put off, if calls are free; the next task does the next batch."""
    with workflow.retry_when_unavailable(self):
        done = drain(context())
        if done.more:
            canvas.request_enrich()
        return {"family": done.family, "looked_up": done.looked_up, "more": done.more}


@app.task(name="spotisync.sweep", ignore_result=True)
def sweep(*, scheduled: bool = False) -> None:
    """Publish what is due, tell whoever has not been told, and see to what lies in the result backend.

    `scheduled`: beat says so, which is a sign of life.
    """
    for run in runs.take_due_runs(context(), scheduled=scheduled):
        canvas.publish(run)
    callers.answer(context())
    result_backend.maintain(context())


@app.task(name="spotisync.tell", ignore_result=True, soft_time_limit=30, time_limit=60)
def tell() -> None:
    """Tell people what they should know, if SPOTISYNC_NOTIFY says whom. What can't be told now is told later."""
    notifications.send_due(context())


@app.task(bind=True, name="spotisync.tick", max_retries=None, ignore_result=True)
def tick(self: Task) -> None:
    """Beat's knock: take what is due by itself. Any number of these, from any number of beats, do it once."""
    with workflow.retry_when_unavailable(self):
        for made in schedule.take_due(context()):
            canvas.dispatch(made)


@app.task(bind=True, name="spotisync.track_playback", max_retries=None, before_start=check_arguments)
def track_playback(self: Task, *, account: str | None = None) -> dict[str, Any]:
    """Read recently played, of one account or of all. What one read misses the next one has: fifty plays overlap."""
    with workflow.retry_when_unavailable(self):
        return playback.track_plays(context(), account)
