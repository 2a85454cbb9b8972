"""Which actions the state of an account allows now, and why not the others. Pure."""

from typing import Any

from spotisync.core.states import MOVES, UNFINISHED

Document = dict[str, Any]
GONE_ON = "in_progress"


def actions(document: Document, newest: dict[str, Document], *, of_run: bool = False) -> Document:
    """`newest`: the newest run of each type, which alone may be unfinished or be resumed.

    `cancel` and `resume` name the run that they would be about: that of the document, or, but for the page of one run
    (`of_run`), the other one that can be.
    """
    shown = {"sync_id": document["sync_id"], "sync_type": document["sync_type"], "status": document["status"]}
    others = [] if of_run else sorted(newest.values(), key=lambda run: -run["sync_id"])
    candidates = [shown, *others] if document["sync_id"] else others
    cancel = next((run["sync_id"] for run in candidates if run["status"] in UNFINISHED), None)
    resume = next((run["sync_id"] for run in candidates if _resumable(run, newest)), None)
    inactive = _inactive(document)
    reasons = {
        "full": inactive or _joins(newest.get("full")),
        "incremental": inactive or _joins(newest.get("incremental")) or _reads_all(newest.get("full")),
        "cancel": None if cancel else "No run is going or waiting." if not of_run else "This run is over.",
        "resume": (inactive if resume else None) or (None if resume else _why_not(shown, newest)),
    }
    return {
        "full": reasons["full"] is None,
        "incremental": reasons["incremental"] is None,
        "cancel": cancel,
        "resume": None if inactive else resume,
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
    return "There is no account yet."


def _joins(run: Document | None) -> str | None:
    if run and run["status"] in UNFINISHED:
        return f"Run {run['sync_id']} is not over; it would be joined."
    return None


def _reads_all(full: Document | None) -> str | None:
    """An incremental sync joins a full one that is going."""
    going = full is not None and full["status"] == GONE_ON
    return f"Run {full['sync_id']}, a full sync, reads all of that too." if full and going else None


def _resumable(run: Document, newest: dict[str, Document]) -> bool:
    again = GONE_ON in MOVES[run["status"]] and run["status"] not in UNFINISHED
    return again and newest[run["sync_type"]]["sync_id"] == run["sync_id"]


def _why_not(run: Document, newest: dict[str, Document]) -> str:
    if run["status"] in {None, "success"}:
        return "There is nothing to resume."
    if run["status"] in UNFINISHED:
        return f"Run {run['sync_id']} is not over."
    newer = newest[run["sync_type"]]["sync_id"]
    return f"Run {newer} is newer: only the newest {run['sync_type']} sync can be resumed."
