"""What a button sets off, and what is to be said of it. One that came too late is explained, it is no error."""

from spotisync.core.states import OVER
from spotisync.errors import Fatal, IllegalMove
from spotisync.sync import runs
from spotisync.sync.runs import SyncType
from spotisync.web.actions import SyncActions
from spotisync.web.labels import KINDS, STATES


def start(acts: SyncActions, account: str | None, sync_type: SyncType) -> str | None:
    try:
        done = acts.start(account, sync_type, "web")
    except Fatal as error:
        return _said(error)
    if done.begun:
        return done.note
    kind = KINDS[done.run.sync_type].lower()
    return f"Nothing new was begun: run {done.run.id}, {kind}, has not ended yet and reads all of that."


def cancel(acts: SyncActions, sync_id: int) -> str | None:
    try:
        acts.cancel(sync_id)
    except IllegalMove:
        return _came_late(acts, sync_id, "There was nothing to cancel any more")
    except Fatal as error:
        return _said(error)
    return f"Run {sync_id} is cancelled. What it has read is stored; it can go on from there."


def resume(acts: SyncActions, sync_id: int) -> str | None:
    try:
        done = acts.resume(sync_id)
    except IllegalMove as error:
        run = runs.get_run(acts.sync, sync_id)
        over = run is not None and run.status == "success"
        return _came_late(acts, sync_id, "There was nothing to resume any more") if over else _said(error)
    except Fatal as error:
        return _said(error)
    return done.note if done.begun else f"Run {sync_id} goes on already."


def _came_late(acts: SyncActions, sync_id: int, words: str) -> str:
    run = runs.get_run(acts.sync, sync_id)
    how = f"had ended before ({STATES[run.status]})" if run and run.status in OVER else "has moved on"
    return f"{words}: run {sync_id} {how}. This is how it stands now."


def _said(error: Exception) -> str:
    words = str(error)
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
