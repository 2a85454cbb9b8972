"""The status document on a terminal: names, labels, numbers. Its sentences are in the document already."""

from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from spotisync.core.states import OVER
from spotisync.status.times import clock, day

Document = dict[str, Any]

STATES: Final = {
    "pending": "to come",
    "in_progress": "going",
    "rate_limited": "paused",
    "success": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


def headline(document: Document) -> str:
    if document["sync_id"] is None:
        return document["account"] or "spotisync"
    return f"{document['sync_type'].capitalize()} sync of {document['account']}, run {document['sync_id']}"


def footnotes(document: Document) -> list[str]:
    """What stands below the bars; of a run that simply goes, or went well, not more than its notes."""
    said = list(document["notes"])
    if document["to_do"] == "Nothing." or _simply_goes(document):
        return said
    safe = " ".join(filter(None, (document["safe"], document["still_runs"])))
    return [*said, *([safe] if safe else []), f"To do: {document['to_do'][:1].lower()}{document['to_do'][1:]}"]


def _simply_goes(document: Document) -> bool:
    worker = document["worker"]
    return document["status"] == "in_progress" and bool(worker["has_it"] and worker["alive"])


def format_calls(run: Document) -> str:
    saved = f", {run['calls_saved']:,} saved" if run.get("calls_saved") else ""
    return f"{run['api_calls']:,} Spotify {'call' if run['api_calls'] == 1 else 'calls'}{saved}"


def format_state(document: Document, phase: Document) -> str:
    """The state of one phase, in a word or two."""
    if phase["status"] in {"in_progress", "rate_limited"}:
        if document["waiting_until"]:
            return f"until {clock(document, datetime.fromisoformat(document['waiting_until']))}"
        if phase["failures"]:
            return "trying again"
    if phase["items_deferred"]:
        return f"done, {phase['items_deferred']:,} later"
    return STATES[phase["status"]]


def format_amount(phase: Document) -> str:
    """`1,200 / 2,500`; the total is left out while it is unknown."""
    done, total = phase["items_processed"], phase["total_items"]
    if phase["status"] == "pending" and not done:
        return ""
    return f"{done:,} / {total:,}" if total is not None else f"{done:,}"


def format_line(document: Document) -> str:
    """All of it on one line, for where nothing can be drawn."""
    phases = [f"{name} {format_amount(phase)}" for name, phase in document["phases"].items() if format_amount(phase)]
    return " · ".join([*phases, document["message"], *(footnotes(document) if is_finished(document) else [])])


def change_key(document: Document) -> tuple[Any, ...]:
    """What must have changed for another such line: a wait that has become shorter is no news."""
    numbers = tuple(document[name] for name in ("sync_id", "status", "api_calls", "items_processed", "last_error"))
    return (*numbers, document["waiting_until"], document["to_do"], document["account_status"])


def format_outage(seconds: float) -> str:
    return f"The database can't be reached for {max(1, round(seconds))} s; this is how it stood before."


def is_finished(document: Document) -> bool:
    return document["status"] in OVER


# ---- history --------------------------------------------------------------------------------------------------------


def format_duration(run: Document) -> str:
    begun = datetime.fromisoformat(run["started_at"])
    ended = datetime.fromisoformat(run["completed_at"]) if run["completed_at"] else datetime.now(UTC)
    seconds = max(0.0, (ended - begun).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s"


def format_start(run: Document, zone: str) -> str:
    """`22 Nov 20:00`; of another year its day alone. Never longer than twelve letters."""
    local, today = datetime.fromisoformat(run["started_at"]).astimezone(ZoneInfo(zone)), datetime.now(ZoneInfo(zone))
    return day(local, today) if local.year != today.year else f"{day(local, today)} {local:%H:%M}"


def short_error(run: Document) -> str:
    """In short: up to where the cure begins, which `status` has in full."""
    said = str(run["last_error"] or "").partition(";")[0].partition("\n")[0]
    return said.removeprefix("Spotify answered ") if run["status"] == "failed" else ""
