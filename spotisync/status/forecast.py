"""When a run will be done: from the pace of its own batches, and from how long its last good run was busy.

A range, or nothing where it can't be known: while nobody works at it, or the size of a phase is not known yet.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Any, Final

from spotisync.status import messages
from spotisync.status.times import now

Document = dict[str, Any]
# One batch may be a slow one by chance.
FEWEST_BATCHES: Final = 2
# How far the next batches may be from those that were measured: the fewer there were, the further.
SPREAD: Final = (0.1, 0.5)
# ... and how far a phase may be from the one of another day.
LIKE_LAST_TIME: Final = (0.6, 1.6)
# Beyond, a forecast is none.
LONGEST: Final = timedelta(days=365)


@dataclass(frozen=True)
class WorkLeft:
    """Seconds of work."""

    least: float
    most: float


def add_eta(document: Document, earlier: dict[str, float]) -> Document:
    """The document with an `eta` for each phase and for the run. `earlier`: busy seconds of the last good run."""
    begin = _begin(document)
    phases, total = {}, WorkLeft(0.0, 0.0) if begin else None
    for name, phase in document["phases"].items():
        is_over = phase["status"] == "success"
        left = None if is_over else _left(phase, earlier.get(name))
        if not is_over:
            total = WorkLeft(total.least + left.least, total.most + left.most) if total and left else None
        phases[name] = {**phase, "eta": _eta(begin, total) if begin and total and not is_over else None}
    return {**document, "phases": phases, "eta": _eta(begin, total) if begin and total else None}


def _begin(document: Document) -> datetime | None:
    """When the work goes on: now, or when the wait is over. None: nobody can say."""
    match messages.situation(document):
        case "going" | "finishing" | "due":
            return now(document)
        case "waiting" | "parked":
            waits = messages.find_wait(document)
            return waits.until if waits else None
    return None


def _left(phase: Document, earlier: float | None) -> WorkLeft | None:
    done, total, busy = phase["items_processed"], phase["total_items"], phase["busy_seconds"]
    if phase["batches"] >= FEWEST_BATCHES and done > 0 and busy > 0 and total is not None:
        seconds = max(0, total - done) * busy / done
        least, most = SPREAD
        spread = max(least, most / sqrt(phase["batches"]))
        return WorkLeft(seconds * (1 - spread), seconds * (1 + spread))
    if earlier is None:
        return None
    least, most = LIKE_LAST_TIME
    return WorkLeft(max(0.0, earlier * least - busy), max(0.0, earlier * most - busy))


def _eta(begin: datetime, left: WorkLeft) -> dict[str, str] | None:
    if left.most > LONGEST.total_seconds():
        return None
    earliest, latest = (begin + timedelta(seconds=seconds) for seconds in (left.least, left.most))
    return {"earliest": earliest.isoformat(), "latest": latest.isoformat()}
