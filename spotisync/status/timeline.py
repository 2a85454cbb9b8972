"""The events of a run, each with its sentence; consecutive batches folded; totals of the run."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from spotisync.core.durations import format_duration
from spotisync.status.messages import (
    REQUESTS,
    TRIGGERS,
    WaitState,
    capitalize,
    count_of,
    describe_wait_reason,
    end_sentence,
)
from spotisync.store.database import Connection, execute
from spotisync.store.events import STARTED, STOPPED

Event = dict[str, Any]
# Reasons for a wait or a deferral that are not Spotify's.
OWN_REASONS: Final = {
    "pace": "request ceiling (SPOTISYNC_API_RATE)",
    "off": "SPOTISYNC_ENRICHMENT is off",
    "budget": "daily budget used up",
    "manual": "requests blocked by hand (spotisync limits set)",
}
WOKEN: Final = {
    "pending": "Account free; started.",
    STOPPED: "spotisync was stopped; the sync continues after its next start.",
    STARTED: "spotisync was started again.",
}


# ---- queries --------------------------------------------------------------------------------------------------------


def list_events(connection: Connection, sync_id: int, limit: int = 200, before: int | None = None) -> list[Event]:
    """The newest `limit` events before the event with the id `before`, oldest first, each with its sentence."""
    rows = execute(
        connection,
        """SELECT id, at, kind, phase, seq, attempt, family, seconds, items, calls, message FROM run_events
        WHERE sync_id = :sync_id AND (CAST(:before AS bigint) IS NULL OR id < :before)
        ORDER BY id DESC LIMIT :limit""",
        {"sync_id": sync_id, "limit": limit, "before": before},
    ).mappings()
    return [describe_event({**row, "at": row["at"].isoformat()}) for row in reversed(rows.all())]


def get_totals(connection: Connection, sync_id: int) -> Event:
    """Totals of the whole run; `items` and `calls` equal the run's own counts."""
    sums = execute(
        connection,
        """SELECT count(*) FILTER (WHERE kind = 'batch') AS batches,
            COALESCE(sum(items) FILTER (WHERE kind = 'batch'), 0) AS items, COALESCE(sum(calls), 0) AS calls,
            COALESCE(sum(seconds) FILTER (WHERE kind = 'batch'), 0) AS seconds,
            COALESCE(sum(LEAST(seconds, lasted)) FILTER (WHERE kind IN ('wait', 'parked', 'retried')), 0) AS waited,
            count(*) FILTER (WHERE kind = 'retried') AS retried, count(*) FILTER (WHERE kind = 'lost') AS lost,
            count(*) FILTER (WHERE kind = 'resumed') AS resumed
        -- a wait can be ended early (cleared or cancelled) or still be in progress
        -- and goes on while the processes are stopped
        FROM (SELECT *, EXTRACT(epoch FROM COALESCE((
                SELECT n.at FROM run_events n WHERE n.sync_id = e.sync_id AND n.id > e.id
                AND NOT (n.kind = 'woken' AND n.message IN (:stopped, :started)) ORDER BY n.id LIMIT 1
            ), clock_timestamp()) - at) AS lasted
            FROM run_events e WHERE sync_id = :sync_id) e""",
        {"sync_id": sync_id, "stopped": STOPPED, "started": STARTED},
    ).mappings()
    return describe_totals({k: value if isinstance(value, int) else float(value) for k, value in sums.one().items()})


def describe_event(event: Event) -> Event:
    """The event with its sentence as `text` and, for a wait, its planned end as `until`."""
    until = None
    if event["seconds"] and (event["kind"] == "parked" or (event["kind"] == "wait" and event["attempt"] == 1)):
        until = (datetime.fromisoformat(event["at"]) + timedelta(seconds=event["seconds"])).isoformat()
    message = event["message"]
    shown = {name: value for name, value in event.items() if name != "message"}
    return {**shown, "until": until, "number": 1, "text": TEXTS[event["kind"]]({**event, "message": message or ""})}


# ---- folding --------------------------------------------------------------------------------------------------------


def fold_batches(events: Iterable[Event]) -> list[Event]:
    """Fold consecutive ordinary batches into one entry of kind `batches`; other events stay as they are.

    The sums of items and calls stay those of the events.
    """
    folded: list[Event] = []
    for key, group in groupby(events, _fold_key):
        alike = list(group)
        folded += [_fold(alike)] if key and len(alike) > 1 else alike
    return folded


def _fold_key(event: Event) -> tuple[str, str] | None:
    """Batches of one phase and kind of item that succeeded at the first attempt have the same key."""
    return (event["phase"], _items(event)) if event["kind"] == "batch" and event["attempt"] == 1 else None


def _fold(batches: list[Event]) -> Event:
    first, last = batches[0], batches[-1]
    sums = {name: sum(each[name] or 0 for each in batches) for name in ("items", "calls", "seconds")}
    entry = {**first, **sums, "kind": "batches", "attempt": None, "until": last["at"], "number": len(batches)}
    return {**entry, "text": f"{count_of(len(batches), 'batch', 'batches')}, {_result(entry)}."}


def describe_totals(sums: Event) -> Event:
    """The totals with their sentence as `text`."""
    counts = [count_of(sums["batches"], "batch", "batches"), count_of(sums["items"], "item")]
    trouble = [
        count_of(sums[name], *words)
        for name, words in (
            ("retried", ("retry", "retries")),
            ("lost", ("lost worker",)),
            ("resumed", ("resume",)),
        )
        if sums[name]
    ]
    times = [f"worked {_seconds(sums['seconds'])}"]
    if sums["waited"] >= 1:
        times.append(f"waited {format_duration(sums['waited'])}")
    return {
        **sums,
        "text": f"{', '.join([*counts, count_of(sums['calls'], 'call'), *trouble])}; {', '.join(times)}.",
    }


# ---- sentences ------------------------------------------------------------------------------------------------------


def _batch(event: Event) -> str:
    attempt = f" (attempt {event['attempt']})" if (event["attempt"] or 1) > 1 else ""
    return f"{_name(event)}{attempt}: {_result(event)}."


def _name(event: Event) -> str:
    return f"Batch {event['seq'] + 1} of {event['phase']}"


def _result(event: Event) -> str:
    calls = count_of(event["calls"] or 0, "call")
    return f"{event['items']:,} {_items(event)} in {_seconds(event['seconds'])}, {calls}"


def _items(event: Event) -> str:
    """The kind of item: artists and albums can be looked up within a phase of another name."""
    return str(event["family"] if event["family"] in {"artists", "albums"} else event["phase"])


def _wait(event: Event) -> str:
    waits = event["attempt"] or 1
    is_long = event["message"] in {"rate", "quota", "manual", "budget"}
    length = format_duration(event["seconds"]) if is_long else _seconds(event["seconds"])
    return f"{f'{waits} waits, {length} in total' if waits > 1 else f'Wait of {length}'}: {_reason(event)}."


def _resumed_after_wait(event: Event) -> str:
    return WOKEN.get(event["message"], "Wait over; resumed.")


def _retried(event: Event) -> str:
    return f"{_name(event)} failed, retry in {_seconds(event['seconds'])}: {end_sentence(event['message'])}"


def _lost(event: Event) -> str:
    batch = f"batch {event['seq'] + 1} of {event['phase']}" if event["phase"] != "finish" else "the last step"
    return f"Worker lost during {batch} (process gone or lease expired); retried from the last checkpoint."


def _deferred(event: Event) -> str:
    requests = capitalize(REQUESTS.get(event["family"], "requests"))
    left = f", {event['items']:,} left" if event["items"] else ""
    reason = f": {_reason(event)}" if event["message"] else ""
    return f"{requests} deferred{left}{reason}."


def _reason(event: Event) -> str:
    if event["message"] in {"rate", "quota"}:
        return describe_wait_reason(WaitState(datetime.fromisoformat(event["at"]), event["family"], event["message"]))
    return OWN_REASONS.get(event["message"]) or str(event["message"]).rstrip(".")


def _cancelled(event: Event) -> str:
    return "Cancelled." if event["message"] in {"", "cancelled"} else f"Cancelled: {end_sentence(event['message'])}"


def _seconds(seconds: float | None) -> str:
    """With a decimal below 10 s: most batches are that short."""
    return f"{max(0.1, seconds or 0):.1f} s" if (seconds or 0) < 10 else format_duration(seconds or 0)


TEXTS: Final[dict[str, Callable[[Event], str]]] = {
    "begun": lambda event: f"Started {TRIGGERS.get(event['message'], '')}".strip() + ".",
    "batch": _batch,
    "wait": _wait,
    "parked": lambda event: f"Paused for {format_duration(event['seconds'])}: {_reason(event)}.",
    "woken": _resumed_after_wait,
    "retried": _retried,
    "lost": _lost,
    "resumed": lambda _: "Resumed from the last checkpoint.",
    "put_off": _deferred,
    "success": lambda _: "Completed.",
    "failed": lambda event: f"Failed: {end_sentence(event['message'] or 'no error was recorded')}",
    "cancelled": _cancelled,
}
