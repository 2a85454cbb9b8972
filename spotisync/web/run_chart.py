"""The picture of a run: a row for each phase, with its batches, waits, retries and lost workers over time.

Positions are percentages of the width, as SVG attributes: the security policy forbids inline styles.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from spotisync.core.durations import format_duration
from spotisync.status.messages import count_of
from spotisync.status.timeline import WOKEN
from spotisync.store.events import STARTED, STOPPED

Event = dict[str, Any]
BarKind = Literal["batch", "wait", "parked", "retried", "lost"]
ROWS: Final = ("tracks", "artists", "albums", "playlists", "finish")
NAMES: Final[dict[BarKind, tuple[str, str]]] = {
    "batch": ("batch", "batches"),
    "wait": ("short wait", "short waits"),
    "parked": ("pause", "pauses"),
    "retried": ("failure, until its retry", "failures, until their retries"),
    "lost": ("lost worker", "lost workers"),
}
# Waits go on while the processes are stopped.
STACK_TEXTS: Final = {WOKEN[STOPPED], WOKEN[STARTED]}
# Of the width, in percent: bars that are nearer to each other than they can be told apart are one bar.
NARROWEST: Final = 0.4
NEAR: Final = 0.15


@dataclass(frozen=True)
class TimelineBar:
    """`x`, `width`: percent of the width. `number`: how many events of its kind the bar stands for."""

    kind: BarKind
    x: float
    width: float
    label: str
    number: int = 1


@dataclass(frozen=True)
class PhaseRow:
    name: str
    bars: list[TimelineBar]
    label: str


@dataclass(frozen=True)
class RunChart:
    """`begin`, `end`: ISO times. `legend`: the kinds of bars that there are, with their labels."""

    rows: list[PhaseRow]
    begin: str
    end: str
    legend: list[tuple[BarKind, str]]


@dataclass(frozen=True)
class _Span:
    kind: BarKind
    phase: str
    begin: datetime
    end: datetime
    text: str


def make_run_chart(events: Sequence[Event], now: str) -> RunChart | None:
    """A chart of the events of a run, the oldest first. A wait that is not over lasts until now. None without any."""
    spans = list(_find_spans(events, datetime.fromisoformat(now)))
    if not spans:
        return None
    begin, end = min(each.begin for each in spans), max(each.end for each in spans)
    rows = [_make_row(name, [each for each in spans if each.phase == name], begin, end) for name in ROWS]
    kinds = {each.kind for each in spans}
    legend = [(kind, single) for kind, (single, _) in NAMES.items() if kind in kinds]
    return RunChart([row for row in rows if row.bars], begin.isoformat(), end.isoformat(), legend)


def _find_spans(events: Sequence[Event], now: datetime) -> Iterator[_Span]:
    """A batch's event is written at its end, that of a wait at its beginning, that of a loss when it is noticed."""
    told = [each for each in events if each["text"] not in STACK_TEXTS]
    at = [datetime.fromisoformat(each["at"]) for each in told]
    for number, event in enumerate(told):
        if event["kind"] not in NAMES or event["phase"] not in ROWS:
            continue
        begin = end = at[number]
        planned = timedelta(seconds=event["seconds"] or 0)
        if event["kind"] == "batch":
            begin -= planned
        elif event["kind"] == "lost":
            begin = at[number - 1] if number else begin
        else:
            # It can be ended early, or still last.
            end = max(begin, min(begin + planned, at[number + 1] if number + 1 < len(at) else now))
        yield _Span(event["kind"], event["phase"], begin, end, event["text"])


def _make_row(name: str, spans: Sequence[_Span], begin: datetime, end: datetime) -> PhaseRow:
    whole = max((end - begin).total_seconds(), 0.001)
    bars: list[TimelineBar] = []
    for span in sorted(spans, key=lambda each: each.begin):
        x = 100 * (span.begin - begin).total_seconds() / whole
        width = max(NARROWEST, 100 * (span.end - span.begin).total_seconds() / whole)
        bar = TimelineBar(span.kind, round(min(x, 100 - width), 2), round(width, 2), span.text)
        if bars and bars[-1].kind == bar.kind and bar.x - (bars[-1].x + bars[-1].width) < NEAR:
            bars[-1] = _join(bars[-1], bar)
        else:
            bars.append(bar)
    return PhaseRow(name, bars, _describe(name, spans))


def _join(bar: TimelineBar, following: TimelineBar) -> TimelineBar:
    number = bar.number + 1
    width = max(bar.width, following.x + following.width - bar.x)
    return replace(bar, width=round(width, 2), number=number, label=count_of(number, *NAMES[bar.kind]))


def _describe(name: str, spans: Sequence[_Span]) -> str:
    """`tracks: 12 batches (9 s), 1 pause (2 h)`."""
    parts = []
    for kind, words in NAMES.items():
        alike = [each for each in spans if each.kind == kind]
        seconds = sum((each.end - each.begin).total_seconds() for each in alike)
        parts += [f"{count_of(len(alike), *words)} ({format_duration(seconds)})"] if alike else []
    return f"{name}: {', '.join(parts)}"
