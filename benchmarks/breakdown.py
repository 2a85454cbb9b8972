"""The parts of a batch and of a run, computed from the spans that the workers recorded."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Measurement
from benchmarks.timing import Span, files

PHASES = ("tracks", "artists", "albums", "playlists")
PARTS = {
    "message": "publishing until claim",
    "to worker": "of it: in the broker",
    "to child": "of it: in the worker",
    "claim": "a transaction",
    "plan": "what to request",
    "HTTP wait": "a reply pending",
    "client": "rest of the fetch",
    "parse": "JSON to rows",
    "write": "Python of the commit",
    "SQL": "of the commit",
    "COMMIT": "of the commit",
    "publish": "after the commit",
}
INSIDE_MESSAGE = ("to worker", "to child")
PER_ITEMS = 200
STATEMENTS_SHOWN = 15
LABEL = 60  # characters of a statement


@dataclass(frozen=True)
class Batch:
    """One batch: milliseconds by part, milliseconds by statement, and items processed."""

    run: int
    phase: str
    seq: int
    items: int
    parts: dict[str, float]
    statements: dict[str, list[float]]
    spans: list[Span]

    @property
    def calls(self) -> int:
        return sum(span[0] == "http" for span in self.spans)

    @property
    def own(self) -> float:
        """All but the wait for Spotify."""
        return sum(ms for part, ms in self.parts.items() if part != "HTTP wait" and part not in INSIDE_MESSAGE)


@dataclass(frozen=True)
class Trace:
    batches: list[Batch]
    peak_rss_mb: float

    def of_runs(self, runs: Iterable[int]) -> list[Batch]:
        wanted = set(runs)
        return [each for each in self.batches if each.run in wanted]


def read(data_dir: Path) -> Trace:
    """Read what all workers of this data dir have recorded so far, and forget it."""
    events: list[dict[str, Any]] = []
    for path in files(data_dir):
        events += map(json.loads, path.read_text().splitlines())
        path.unlink()
    received = {each["received"]: each["at"] for each in events if "received" in each}
    tasks = [each for each in events if "task" in each]
    published = {span[1]: span[2] for task in tasks for span in task["spans"] if span[0] == "publish"}
    batches = [_batch(task, published, received) for task in tasks if task["task"] == "spotisync.batch"]
    done = sorted((each for each in batches if each), key=lambda each: each.spans[0][2])
    return Trace(done, max((task["rss_mb"] or 0 for task in tasks), default=0))


def _batch(task: dict[str, Any], published: dict[str, float], received: dict[str, float]) -> Batch | None:
    """None for a batch that did not get to its commit."""
    spans = task["spans"]
    stages = {span[1]: span for span in spans if span[0] == "stage"}
    if "commit" not in stages:
        return None
    parts = {
        **_message(stages["claim"][2], published.get(task["id"]), received.get(task["id"])),
        **_stages(stages, union(spans, "http")),
        **_writing(stages["commit"], spans),
    }
    milliseconds = {part: seconds * 1000 for part, seconds in parts.items()}
    run, phase, seq = (task["kwargs"][name] for name in ("sync_id", "phase", "seq"))
    return Batch(run, phase, seq, task["items"], milliseconds, _statements(spans), spans)


def _message(claimed: float, sent: float | None, arrived: float | None) -> dict[str, float]:
    """Empty for the first batch of a run: its message comes from a process that records nothing."""
    if sent is None or arrived is None:
        return {}
    return {"message": claimed - sent, "to worker": arrived - sent, "to child": claimed - arrived}


def _stages(stages: dict[str, Span], waited: float) -> dict[str, float]:
    fetch, fold = stages.get("fetch"), stages.get("fold")
    return {
        "claim": _length(stages["claim"]),
        "plan": _length(stages["plan"]),
        "HTTP wait": waited,
        "client": max(0.0, _length(fetch) - waited) if fetch else 0.0,
        "parse": _length(fold) if fold else 0.0,
    }


def _writing(stage: Span, spans: Sequence[Span]) -> dict[str, float]:
    """The parts of the commit stage, and the time from its end until the next message is sent."""
    inside = [span for span in spans if span[2] >= stage[2] and span[3] <= stage[3]]
    sql, commits = _total(inside, "sql"), _total(inside, "commit")
    sent = [span[2] for span in spans if span[0] == "publish" and span[2] >= stage[3]]
    return {
        "write": _length(stage) - sql - commits,
        "SQL": sql,
        "COMMIT": commits,
        "publish": min(sent) - stage[3] if sent else 0.0,
    }


def _length(span: Span) -> float:
    return float(span[3] - span[2])


def _total(spans: Iterable[Span], kind: str) -> float:
    return sum(_length(span) for span in spans if span[0] == kind)


def _statements(spans: Iterable[Span]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for span in spans:
        if span[0] in {"sql", "commit"}:
            found[span[1]].append(_length(span) * 1000)
    return dict(found)


def union(spans: Iterable[Span], kind: str) -> float:
    """The seconds in which at least one span of this kind was open: requests overlap."""
    total, until = 0.0, 0.0
    for start, end in sorted((span[2], span[3]) for span in spans if span[0] == kind):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def measure(section: str, runs: Sequence[Sequence[Batch]]) -> Iterator[Measurement]:
    """The parts of a batch by phase, and the statements that took most time."""
    batches = [batch for run in runs for batch in run]
    title = f"Milliseconds of a batch, medians, {section}"
    found = {phase: [each for each in batches if each.phase == phase] for phase in PHASES}
    for phase in found:
        counts = tuple(sum(batch.phase == phase for batch in run) for run in runs)
        yield Measurement(title, "batches", "batches", counts, "of a run", phase)
        single = tuple(sum(batch.phase == phase and batch.calls == 1 for batch in run) for run in runs)
        yield Measurement(title, "with one call", "batches", single, "of a run", phase)
    for part, remark in PARTS.items():
        for phase, each in found.items():
            if each:
                known = tuple(batch.parts[part] for batch in each if part in batch.parts)
                yield Measurement(title, part, "ms", known, remark, phase)
    for phase, each in found.items():
        if each:
            own = tuple(batch.own for batch in each)
            yield Measurement(title, "own overhead", "ms", own, "all but HTTP wait", phase)
            rated = tuple(batch.own / batch.items * PER_ITEMS for batch in each if batch.items)
            yield Measurement(title, f"own, per {PER_ITEMS} items of a batch", "ms", rated, "", phase)
    for phase in found:
        yield from _own_per_items(title, phase, [[batch for batch in run if batch.phase == phase] for run in runs])
    yield from _statements_of(f"Statements of all batches, {section}", batches)


def _own_per_items(title: str, phase: str, runs: Sequence[Sequence[Batch]]) -> Iterator[Measurement]:
    """The own overhead of a phase in proportion to what it processes: batches differ in size."""
    items = [sum(batch.items for batch in run) for run in runs]
    if all(items):
        own = [sum(batch.own for batch in run) for run in runs]
        rated = tuple(ms / count * PER_ITEMS for ms, count in zip(own, items, strict=True))
        yield Measurement(title, f"own, per {PER_ITEMS} items", "ms", rated, "of a run", phase)
        yield Measurement(title, "items", "items", tuple(items), "of a run", phase)


def _statements_of(section: str, batches: Sequence[Batch]) -> Iterator[Measurement]:
    """All phases together."""
    found: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        for statement, times in batch.statements.items():
            found[statement] += times
    for statement, times in sorted(found.items(), key=lambda each: -sum(each[1]))[:STATEMENTS_SHOWN]:
        label, count = statement[:LABEL], len(batches)
        yield Measurement(section, label, "ms", (sum(times) / count,), column="ms a batch")
        yield Measurement(section, label, "x", (len(times) / count,), column="times")
        yield Measurement(section, label, "ms", tuple(times), column="median ms")
