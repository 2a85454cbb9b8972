"""What a button sets off, and what is to be said of it. One that came too late is explained, it is no error."""

from spotisync import workflow
from spotisync.core.states import OVER
from spotisync.errors import Fatal, IllegalMove
from spotisync.sync import Sync, lifecycle
from spotisync.sync.lifecycle import SyncType, Triggered
from spotisync.web.view import KINDS, STATES

STARTS_LATER = (
    "The broker can't be reached. Run {run} is stored, and starts by itself within a minute of the broker's return, if "
    "beat and a worker run. What is wrong: spotisync doctor"
)


def start(sync: Sync, account: str | None, sync_type: SyncType) -> str | None:
    try:
        triggered = lifecycle.trigger(sync, account, sync_type, "web")
    except Fatal as error:
        return _said(error)
    run = triggered.run
    if not triggered.created:
        kind = KINDS[run.sync_type].lower()
        return f"Nothing new was begun: run {run.id}, {kind}, has not ended yet and reads all of that."
    return _publish(triggered)


def cancel(sync: Sync, sync_id: int) -> str | None:
    try:
        run = lifecycle.cancel(sync, sync_id)
    except IllegalMove:
        return _came_late(sync, sync_id, "There was nothing to cancel any more")
    except Fatal as error:
        return _said(error)
    workflow.sweep_soon()
    return f"Run {run.id} is cancelled. What it has read is stored; it can go on from there."


def resume(sync: Sync, sync_id: int) -> str | None:
    try:
        triggered = lifecycle.resume(sync, sync_id)
    except IllegalMove as error:
        run = lifecycle.look(sync, sync_id)
        if run and run.status == "success":
            return _came_late(sync, sync_id, "There was nothing to resume any more")
        return _said(error)
    except Fatal as error:
        return _said(error)
    return _publish(triggered) if triggered.created else f"Run {sync_id} goes on already."


def _publish(triggered: Triggered) -> str | None:
    return None if workflow.publish(triggered.run) else STARTS_LATER.format(run=triggered.run.id)


def _came_late(sync: Sync, sync_id: int, words: str) -> str:
    run = lifecycle.look(sync, sync_id)
    how = f"had ended before ({STATES[run.status]})" if run and run.status in OVER else "has moved on"
    return f"{words}: run {sync_id} {how}. This is how it stands now."


def _said(error: Exception) -> str:
    words = str(error)
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
