"""What happened in a run, in words, and in short. Pure: made from its events alone."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from spotisync.core.durations import format_duration
from spotisync.status.messages import REQUESTS, WaitState, describe_reason

Event = dict[str, Any]
# Why something waits or is put off, where Spotify did not say so.
OURS: Final = {
    "pace": "our own pace",
    "off": "SPOTISYNC_ENRICHMENT is off",
    "budget": "the day's budget is spent",
}
TRIGGERS: Final = {
    "beat": "by the schedule",
    "cli": "from the command line",
    "api": "through the API",
    "web": "on the page",
    "task": "by a task message",
}


def describe_event(event: Event) -> Event:
    """The event with its sentence, and until when a wait was to last."""
    until = None
    if event["seconds"] and (event["kind"] == "parked" or (event["kind"] == "wait" and event["attempt"] == 1)):
        until = (datetime.fromisoformat(event["at"]) + timedelta(seconds=event["seconds"])).isoformat()
    message = event["message"]
    shown = {name: value for name, value in event.items() if name != "message"}
    return {**shown, "until": until, "number": 1, "text": TEXTS[event["kind"]]({**event, "message": message or ""})}


# ---- in short -------------------------------------------------------------------------------------------------------


def fold_batches(events: Iterable[Event]) -> list[Event]:
    """Ordinary batches that follow each other are one entry, of kind `batches`; whatever else happened stands alone.

    Nothing is lost by it: the sums of items and calls are those of the events.
    """
    folded: list[Event] = []
    for key, group in groupby(events, _ordinary):
        alike = list(group)
        folded += [_together(alike)] if key and len(alike) > 1 else alike
    return folded


def _ordinary(event: Event) -> tuple[str, str] | None:
    """What it can be told with: batches that were in at the first try, of one phase and kind of item."""
    return (event["phase"], _items(event)) if event["kind"] == "batch" and event["attempt"] == 1 else None


def _together(batches: list[Event]) -> Event:
    first, last = batches[0], batches[-1]
    sums = {name: sum(each[name] or 0 for each in batches) for name in ("items", "calls", "seconds")}
    entry = {**first, **sums, "kind": "batches", "attempt": None, "until": last["at"], "number": len(batches)}
    return {**entry, "text": f"{_many(len(batches), 'batch', 'batches')}, {_brought(entry)}."}


def describe_totals(sums: Event) -> Event:
    """All of a run's events in one line."""
    spent = [
        f"worked {_seconds(sums['seconds'])}",
        *([f"waited {format_duration(sums['waited'])}"] if sums["waited"] >= 1 else []),
    ]
    trouble = [
        *([f"{_many(sums['retried'], 'failed try', 'failed tries')}"] if sums["retried"] else []),
        *([f"{_many(sums['lost'], 'lost worker')}"] if sums["lost"] else []),
        *([f"{_many(sums['resumed'], 'resume')}"] if sums["resumed"] else []),
    ]
    counts = [_many(sums["batches"], "batch", "batches"), _many(sums["items"], "item"), _many(sums["calls"], "call")]
    return {**sums, "text": f"{', '.join([*counts, *trouble])}; {', '.join(spent)}."}


# ---- in words -------------------------------------------------------------------------------------------------------


def _batch(event: Event) -> str:
    again = f" (try {event['attempt']})" if (event["attempt"] or 1) > 1 else ""
    return f"Batch {event['seq'] + 1} of {event['phase']}{again}: {_brought(event)}."


def _brought(event: Event) -> str:
    return f"{event['items']:,} {_items(event)} in {_seconds(event['seconds'])}, {_many(event['calls'], 'call')}"


def _items(event: Event) -> str:
    """Stubs that a phase of another name looks up are named for what they are."""
    return str(event["family"] if event["family"] in {"artists", "albums"} else event["phase"])


def _wait(event: Event) -> str:
    times = f", in {event['attempt']} goes" if (event["attempt"] or 1) > 1 else ""
    if event["message"] in {"rate", "quota"}:
        return f"Told to wait {format_duration(event['seconds'])}{times}: {_why(event)}."
    return f"Waited {_seconds(event['seconds'])}{times}: {_why(event)}."


def _woken(event: Event) -> str:
    return "Its turn has come." if event["message"] == "pending" else "What it waited for is over; it goes on."


def _retried(event: Event) -> str:
    said = _ended(event["message"])
    return f"Batch {event['seq'] + 1} of {event['phase']} is tried again in {_seconds(event['seconds'])}: {said}"


def _lost(event: Event) -> str:
    lost = f"batch {event['seq'] + 1} of {event['phase']}" if event["phase"] != "finish" else "the end"
    return f"The worker that had {lost} is gone, or was cut off; it is taken again, from the last checkpoint."


def _put_off(event: Event) -> str:
    what = REQUESTS.get(event["family"], "requests")
    left = f", {event['items']:,} left" if event["items"] else ""
    why = f": {_why(event)}" if event["message"] else ""
    return f"{what[:1].upper()}{what[1:]} put off{left}{why}."


def _why(event: Event) -> str:
    if event["message"] in {"rate", "quota"}:
        return describe_reason(WaitState(datetime.fromisoformat(event["at"]), event["family"], event["message"]))
    return OURS.get(event["message"]) or str(event["message"]).rstrip(".")


def _cancelled(event: Event) -> str:
    return "Cancelled." if event["message"] in {"", "cancelled"} else f"Cancelled: {_ended(event['message'])}"


TEXTS: Final[dict[str, Callable[[Event], str]]] = {
    "begun": lambda event: f"Begun {TRIGGERS.get(event['message'], '')}".strip() + ".",
    "batch": _batch,
    "wait": _wait,
    "parked": lambda event: f"Paused by Spotify for {format_duration(event['seconds'])}: {_why(event)}.",
    "woken": _woken,
    "retried": _retried,
    "lost": _lost,
    "resumed": lambda _: "Resumed, from its checkpoints.",
    "put_off": _put_off,
    "success": lambda _: "Complete.",
    "failed": lambda event: f"Failed: {_ended(event['message'] or 'no reason was given')}",
    "cancelled": _cancelled,
}


def _seconds(seconds: float | None) -> str:
    return f"{max(0.1, seconds or 0):.1f} s" if (seconds or 0) < 10 else format_duration(seconds or 0)


def _ended(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _many(number: int | None, thing: str, things: str | None = None) -> str:
    return f"{number or 0:,} {thing if number == 1 else things or f'{thing}s'}"
