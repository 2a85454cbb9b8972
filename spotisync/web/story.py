"""The timeline of a run as it is shown: batches that simply followed each other are one step."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from spotisync.core.spans import span

Event = dict[str, Any]

# The colour of a status, and an icon.
LOOKS: Final = {
    "begun": ("in_progress", "start"),
    "batch": ("in_progress", "batch"),
    "wait": ("rate_limited", "wait"),
    "parked": ("rate_limited", "rate_limited"),
    "woken": ("in_progress", "start"),
    "retried": ("rate_limited", "retry"),
    "lost": ("failed", "lost"),
    "resumed": ("in_progress", "start"),
    "put_off": ("pending", "calendar"),
    "success": ("success", "success"),
    "failed": ("failed", "failed"),
    "cancelled": ("cancelled", "cancelled"),
}


@dataclass(frozen=True)
class Step:
    at: str
    kind: str
    words: str
    more: str = ""

    @property
    def look(self) -> str:
        return LOOKS.get(self.kind, ("pending", "next"))[0]

    @property
    def icon(self) -> str:
        return LOOKS.get(self.kind, ("pending", "next"))[1]


def steps(events: list[Event]) -> list[Step]:
    """One of each event, but for batches of one phase in a row."""
    found = []
    for (kind, _), group in groupby(events, lambda each: (each["kind"], each.get("phase"))):
        each = list(group)
        found += [_batches(each)] if kind == "batch" and len(each) > 1 else [_step(event) for event in each]
    return found


def _step(event: Event) -> Step:
    return Step(event["at"], event["kind"], event["text"], _numbers([event]) if event["kind"] == "batch" else "")


def _batches(events: list[Event]) -> Step:
    phase = events[0].get("phase")
    return Step(events[0]["at"], "batch", f"{len(events):,} batches of {phase}", _numbers(events))


def _numbers(events: list[Event]) -> str:
    items, calls = (sum(each.get(name) or 0 for each in events) for name in ("items", "calls"))
    seconds = sum(each.get("seconds") or 0 for each in events)
    said = [f"{items:,} items", f"{calls:,} {'call' if calls == 1 else 'calls'}", span(seconds)]
    return ", ".join(said)
