"""What was asked: the request log, its counters, and requests that are held."""

import asyncio
import json
from collections import Counter, deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

KEPT = 200_000


@dataclass(slots=True)
class Entry:
    """One request. `status` is 0 while it runs and when it ended without a reply; `fault` names what struck it."""

    time: float
    method: str
    path: str
    query: str
    account: str | None
    family: str
    status: int = 0
    fault: str | None = None


class Journal:
    def __init__(self, file: Path | None = None) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._file: TextIO | None = file.open("a", buffering=1) if file else None

    def begin(self, entry: Entry) -> None:
        self._entries.append(entry)

    def end(self, entry: Entry) -> None:
        self._counts[entry.family, entry.status] += 1
        if self._file:
            self._file.write(json.dumps(asdict(entry)) + "\n")

    def reset(self) -> None:
        self._entries.clear()
        self._counts.clear()

    def close(self) -> None:
        if self._file:
            self._file.close()

    def requests(self, last: int | None = None) -> list[dict[str, Any]]:
        entries = list(self._entries)
        return [asdict(entry) for entry in (entries if last is None else entries[-last:])]

    def counters(self) -> dict[str, Any]:
        """Count finished requests by family and status."""
        families: dict[str, dict[str, int]] = {}
        for (family, status), count in self._counts.items():
            families.setdefault(family, {})[str(status)] = count
        totals = {family: sum(statuses.values()) for family, statuses in families.items()}
        return {"total": sum(totals.values()), "families": totals, "statuses": families}


@dataclass
class Held:
    entry: Entry
    rule: int
    go: asyncio.Event


class Hold:
    """Requests that wait for somebody to let them go."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        self._last = 0

    async def wait(self, entry: Entry, rule: int, seconds: float) -> None:
        self._last += 1
        number, held = self._last, Held(entry, rule, asyncio.Event())
        self._held[number] = held
        try:
            await asyncio.wait_for(held.go.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self._held.pop(number, None)

    def held(self) -> list[dict[str, Any]]:
        return [{"hold": number, "rule": held.rule, **asdict(held.entry)} for number, held in self._held.items()]

    def release(self, number: int | None = None) -> int:
        """Let one go, or all; say how many."""
        chosen = [held for each, held in self._held.items() if number in (None, each) and not held.go.is_set()]
        for held in chosen:
            held.go.set()
        return len(chosen)
