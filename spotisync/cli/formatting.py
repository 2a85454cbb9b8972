"""Labels and numbers of a status document on a terminal. Its sentences are part of the document."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from spotisync.core.states import OVER
from spotisync.status.messages import STATUS_LABELS, get_expected
from spotisync.status.times import format_day, format_time

Document = dict[str, Any]


def format_headline(document: Document) -> str:
    if document["sync_id"] is None:
        return document["account"] or "spotisync"
    return f"{document['sync_type'].capitalize()} sync of {document['account']}, run {document['sync_id']}"


def format_footnotes(document: Document) -> list[str]:
    """Lines below the bars: the notes, and unless the run is making progress, what to do."""
    notes = list(document["notes"])
    if document["to_do"] == "Nothing." or _is_in_progress(document):
        return notes
    safe = " ".join(filter(None, (document["safe"], document["still_runs"])))
    return [*notes, *([safe] if safe else []), f"To do: {document['to_do'][:1].lower()}{document['to_do'][1:]}"]


def _is_in_progress(document: Document) -> bool:
    worker = document["worker"]
    return document["status"] == "in_progress" and bool(worker["has_it"] and worker["alive"])


def format_calls(run: Document) -> str:
    saved = f", {run['calls_saved']:,} saved" if run.get("calls_saved") else ""
    return f"{run['api_calls']:,} Spotify {'call' if run['api_calls'] == 1 else 'calls'}{saved}"


def format_state(document: Document, phase: Document) -> str:
    """The state of one phase, in one to three words."""
    if phase["status"] in {"in_progress", "rate_limited"}:
        if document["waiting_until"]:
            return f"until {format_time(document, datetime.fromisoformat(document['waiting_until']))}"
        if phase["failures"]:
            return "retrying"
    if phase["items_deferred"]:
        return f"done, {phase['items_deferred']:,} deferred"
    return STATUS_LABELS[phase["status"]]


def format_amount(document: Document, name: str) -> str:
    """`1,200 / 2,500`, without the total while it is unknown and when the phase is done."""
    phase, total = document["phases"][name], get_expected(document, name)
    done = phase["items_processed"]
    if phase["status"] == "pending" and not done:
        return ""
    return f"{done:,}" if total is None or phase["status"] == "success" else f"{done:,} / {total:,}"


def format_line(document: Document) -> str:
    """The document on one line, for output that is not a terminal."""
    phases = [f"{name} {amount}" for name in document["phases"] if (amount := format_amount(document, name))]
    return " · ".join([*phases, document["message"], *(format_footnotes(document) if is_finished(document) else [])])


def get_change_key(document: Document) -> tuple[Any, ...]:
    """The values whose change justifies another line. The remaining time of a wait is not among them."""
    numbers = tuple(document[name] for name in ("sync_id", "status", "api_calls", "items_processed", "last_error"))
    return (*numbers, document["waiting_until"], document["to_do"], document["account_status"])


def format_outage(seconds: float) -> str:
    return f"No connection to the database for {max(1, round(seconds))} s; showing the last known state."


def is_finished(document: Document) -> bool:
    return document["status"] in OVER


# ---- history --------------------------------------------------------------------------------------------------------


def format_run_duration(run: Document) -> str:
    started = datetime.fromisoformat(run["started_at"])
    ended = datetime.fromisoformat(run["completed_at"]) if run["completed_at"] else datetime.now(UTC)
    seconds = max(0.0, (ended - started).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s"


def format_start(run: Document, zone: str) -> str:
    """`22 Nov 20:00`, or `22 Nov 2024` in another year: at most 12 characters."""
    local, today = datetime.fromisoformat(run["started_at"]).astimezone(ZoneInfo(zone)), datetime.now(ZoneInfo(zone))
    return format_day(local, today) if local.year != today.year else f"{format_day(local, today)} {local:%H:%M}"


def shorten_error(run: Document) -> str:
    """The error without its hint, which `status` prints in full."""
    error = str(run["last_error"] or "").partition(";")[0].partition("\n")[0]
    return error.removeprefix("Spotify answered ") if run["status"] == "failed" else ""
