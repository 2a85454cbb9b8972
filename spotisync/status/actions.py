"""Which actions the state of an account allows, and why it forbids the others. Pure."""

from typing import Any

from spotisync.core.oauth import APP_BLOCKED, is_app_blocked
from spotisync.core.states import MOVES, UNFINISHED, Status
from spotisync.status.messages import NO_ACCOUNT, STATUS_LABELS, find_budget_wait, find_held_removals

Document = dict[str, Any]


def actions(document: Document, newest: dict[str, Document], *, of_run: bool = False) -> Document:
    """`newest`: the newest run of each type; only these can be unfinished or resumed.

    `cancel` and `resume` give the id of the run they would act on: the document's run or, unless `of_run` (the page of
    one run), another run that allows it.
    """
    shown = {"sync_id": document["sync_id"], "sync_type": document["sync_type"], "status": document["status"]}
    others = [] if of_run else sorted(newest.values(), key=lambda run: -run["sync_id"])
    candidates = [shown, *others] if document["sync_id"] else others
    cancel = next((run["sync_id"] for run in candidates if run["status"] in UNFINISHED), None)
    resume = next((run["sync_id"] for run in candidates if _is_resumable(run, newest)), None)
    inactive = _inactive(document)
    blocked = f"{APP_BLOCKED}, so it would fail again." if is_app_blocked(document.get("last_error")) else None
    # What a person asks for waits for no budget: it joins the run and ends its wait.
    waits_for_budget = document["status"] == "rate_limited" and find_budget_wait(document)
    reasons = {
        "full": inactive or (None if waits_for_budget else _covered(newest.get("full"), UNFINISHED)),
        "incremental": inactive
        or _covered(newest.get("incremental"), UNFINISHED)
        # An incremental sync joins a full sync that is running.
        or _covered(newest.get("full"), ("in_progress",)),
        "cancel": None if cancel else "This run has ended." if of_run else "No run is queued, running or paused.",
        "resume": (inactive or blocked) if resume else _not_resumable(shown, newest),
        "confirm_removal": inactive if find_held_removals(document) else "No removal has to be confirmed.",
    }
    return {
        "full": reasons["full"] is None,
        "incremental": reasons["incremental"] is None,
        "cancel": cancel,
        "resume": None if reasons["resume"] else resume,
        "confirm_removal": reasons["confirm_removal"] is None,
        "why_not": {action: why for action, why in reasons.items() if why},
    }


def _inactive(document: Document) -> str | None:
    match document["account_status"]:
        case "active":
            return None
        case "needs_login":
            return f"{document['account']} has to log in again first."
        case "disabled":
            return f"{document['account']} is disabled."
    return NO_ACCOUNT


def _covered(run: Document | None, statuses: tuple[Status, ...]) -> str | None:
    """Why no run would be started: the request would join this one."""
    if run is None or run["status"] not in statuses:
        return None
    return f"Already covered by run {run['sync_id']} ({run['sync_type']} sync, {STATUS_LABELS[run['status']]})."


def _is_resumable(run: Document, newest: dict[str, Document]) -> bool:
    resumable = "in_progress" in MOVES[run["status"]] and run["status"] not in UNFINISHED
    return resumable and newest[run["sync_type"]]["sync_id"] == run["sync_id"]


def _not_resumable(run: Document, newest: dict[str, Document]) -> str:
    if run["status"] in {None, "success"}:
        return "No run to resume."
    if run["status"] in UNFINISHED:
        return f"Run {run['sync_id']} has not ended."
    newer = newest[run["sync_type"]]["sync_id"]
    return f"Run {newer} is newer; only the newest {run['sync_type']} sync can be resumed."
