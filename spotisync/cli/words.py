"""What a run is doing and why it waits, in words; made from the status document alone."""

from datetime import UTC, datetime
from typing import Any, Final

from spotisync.core.states import OVER

Document = dict[str, Any]

DOING: Final = {
    "tracks": "Reading saved tracks",
    "artists": "Looking up artists",
    "albums": "Looking up albums",
    "playlists": "Reading playlists",
    "finish": "Finishing",
}
SAFE: Final = "All that was read is stored."


def headline(run: Document) -> str:
    return f"{run['sync_type'].capitalize()} sync of {run['account']}, run {run['sync_id']}"


def sentence(run: Document) -> str:
    """One sentence or two: the state, its reason, what to do."""
    match run["status"]:
        case "success":
            return _success(run)
        case "failed":
            return f"Failed: {run['last_error']}. {SAFE} Go on from there: spotisync resume {run['sync_id']}"
        case "cancelled":
            return f"Cancelled. {SAFE} Go on from there: spotisync resume {run['sync_id']}"
        case "pending":
            return "It begins when the account's other run is over."
        case "rate_limited":
            return _waiting(run, reset_at(_current(run)))
    return _in_progress(run)


def _success(run: Document) -> str:
    words = f"Complete since {moment(run['completed_at'])}: {_changes(run)}, with {calls(run)}."
    if run["items_deferred"]:
        words += f" {_many(run['items_deferred'])} look-ups were put off until Spotify allows them."
    return words


def _changes(run: Document) -> str:
    said = [f"{_many(run[f'items_{name}'])} {name}" for name in ("added", "updated", "removed") if run[f"items_{name}"]]
    return ", ".join([f"{_many(run['items_processed'])} items read", *said])


def _in_progress(run: Document) -> str:
    phase = _current(run)
    if phase and (until := reset_at(phase)):
        return _waiting(run, until)
    if phase and phase["failures"]:
        return f"{phase['last_error']}; it is tried again (after {phase['failures']} failures in a row). {SAFE}"
    if all(each["status"] == "pending" for each in run["phases"].values()):
        return "It waits for a worker to take it."
    return f"{DOING[run['current_phase']]}; {calls(run)} so far."


def calls(run: Document) -> str:
    return f"{_many(run['api_calls'])} Spotify {'call' if run['api_calls'] == 1 else 'calls'}"


def _waiting(run: Document, until: datetime | None) -> str:
    when = f"until {_clock(until)}" if until else "a little"
    return f"{DOING[run['current_phase']]}: Spotify said to wait {when}; then it goes on by itself. {SAFE}"


def _current(run: Document) -> Document | None:
    phase: Document | None = run["phases"].get(run["current_phase"])
    return phase


def reset_at(phase: Document | None) -> datetime | None:
    """Until when the phase waits; none if that is over."""
    if phase is None or phase["rate_limit_reset_at"] is None:
        return None
    until = datetime.fromisoformat(phase["rate_limit_reset_at"])
    return until if until > datetime.now(UTC) else None


STATES: Final = {
    "pending": "to come",
    "in_progress": "going",
    "rate_limited": "waiting",
    "success": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


def state(phase: Document) -> str:
    """The state of one phase, in a word or two."""
    if phase["status"] in {"in_progress", "rate_limited"} and (until := reset_at(phase)):
        return f"waits until {_clock(until)}"
    if phase["status"] == "in_progress" and phase["failures"]:
        return "trying again"
    if phase["items_deferred"]:
        return f"done, {_many(phase['items_deferred'])} later"
    return STATES[phase["status"]]


def amount(phase: Document) -> str:
    """`1,200 / 2,500`; the total is left out while it is unknown."""
    done, total = phase["items_processed"], phase["total_items"]
    if phase["status"] == "pending" and not done:
        return ""
    return f"{_many(done)} / {_many(total)}" if total is not None else _many(done)


def line(run: Document) -> str:
    """All of it on one line, for where nothing can be drawn."""
    phases = [f"{name} {amount(phase)}" for name, phase in run["phases"].items() if amount(phase)]
    return " · ".join([*phases, sentence(run)])


def duration(run: Document) -> str:
    begun = datetime.fromisoformat(run["started_at"])
    ended = datetime.fromisoformat(run["completed_at"]) if run["completed_at"] else datetime.now(UTC)
    seconds = max(0.0, (ended - begun).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s"


def moment(iso: str | None) -> str:
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M:%S}" if iso else ""


def is_over(run: Document) -> bool:
    return run["status"] in OVER


def _clock(at: datetime) -> str:
    """The time of day; with the day when it is not today's."""
    local = at.astimezone()
    return f"{local:%H:%M:%S}" if local.date() == datetime.now().astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def _many(number: int) -> str:
    return f"{number:,}"
