"""Expected completion of a run, from the rate of its batches and the durations of its last successful run.

A range; null while no worker advances the run or the size of a phase is unknown.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Any, Final

from spotisync.status import messages
from spotisync.status.times import now

Document = dict[str, Any]
# A single batch is no reliable measure.
FEWEST_BATCHES: Final = 2
# Relative error of the measured rate: at least the first, and the second divided by the root of the batches.
SPREAD: Final = (0.1, 0.5)
# Range of a phase without measured batches, relative to its duration in the last successful run.
EARLIER_RANGE: Final = (0.6, 1.6)
# A later forecast is not shown.
LONGEST: Final = timedelta(days=365)


@dataclass(frozen=True)
class WorkLeft:
    """Least and most seconds of work."""

    least: float
    most: float


def add_eta(document: Document, earlier: dict[str, float]) -> Document:
    """Return the document with an `eta` for each phase and for the run.

    `earlier`: busy seconds of each phase in the last successful run.
    """
    begin = _next_work_at(document)
    phases, total = {}, WorkLeft(0.0, 0.0) if begin else None
    for name, phase in document["phases"].items():
        is_over = phase["status"] == "success"
        left = None if is_over else _work_left(phase, earlier.get(name))
        if not is_over:
            total = WorkLeft(total.least + left.least, total.most + left.most) if total and left else None
        phases[name] = {**phase, "eta": _eta(begin, total) if begin and total and not is_over else None}
    return {**document, "phases": phases, "eta": _eta(begin, total) if begin and total else None}


def _next_work_at(document: Document) -> datetime | None:
    """Now, or the end of the wait. None: unknown."""
    match messages.get_situation(document):
        case "running" | "finishing" | "due":
            return now(document)
        case "waiting" | "paused":
            wait = messages.get_wait(document)
            return wait.until if wait else None
    return None


def _work_left(phase: Document, earlier: float | None) -> WorkLeft | None:
    done, total, busy = phase["items_processed"], phase["total_items"], phase["busy_seconds"]
    if phase["batches"] >= FEWEST_BATCHES and done > 0 and busy > 0 and total is not None:
        seconds = max(0, total - done) * busy / done
        least, most = SPREAD
        spread = max(least, most / sqrt(phase["batches"]))
        return WorkLeft(seconds * (1 - spread), seconds * (1 + spread))
    if earlier is None:
        return None
    least, most = EARLIER_RANGE
    return WorkLeft(max(0.0, earlier * least - busy), max(0.0, earlier * most - busy))


def _eta(begin: datetime, left: WorkLeft) -> dict[str, str] | None:
    if left.most > LONGEST.total_seconds():
        return None
    earliest, latest = (begin + timedelta(seconds=seconds) for seconds in (left.least, left.most))
    return {"earliest": earliest.isoformat(), "latest": latest.isoformat()}
