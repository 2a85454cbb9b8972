"""The request log, its counters, and the requests that a fault holds."""

import asyncio
import json
from collections import Counter, deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

MAX_ENTRIES = 200_000


@dataclass(slots=True)
class LoggedRequest:
    """One request.

    `status` is 0 while it runs and if it ended without a reply; `fault`: the rules that applied; `limit`: which one
    refused it with a 429 ("rate", "quota" or "ban"; None if a fault did).
    """

    time: float
    method: str
    path: str
    query: str
    account: str | None
    family: str
    status: int = 0
    fault: str | None = None
    client_id: str | None = None
    limit: str | None = None

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}"

    def add_fault(self, label: str) -> None:
        self.fault = label if self.fault is None else f"{self.fault},{label}"


class RequestLog:
    def __init__(self, file: Path | None = None) -> None:
        self._entries: deque[LoggedRequest] = deque(maxlen=MAX_ENTRIES)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._refused: Counter[tuple[str, str, str]] = Counter()
        self._file: TextIO | None = file.open("a", buffering=1) if file else None

    def begin(self, entry: LoggedRequest) -> None:
        self._entries.append(entry)

    def end(self, entry: LoggedRequest) -> None:
        self._counts[entry.family, entry.status] += 1
        if entry.limit:
            self._refused[entry.client_id or "", entry.family, entry.limit] += 1
        if self._file:
            self._file.write(json.dumps(asdict(entry)) + "\n")

    def reset(self) -> None:
        self._entries.clear()
        self._counts.clear()
        self._refused.clear()

    def close(self) -> None:
        if self._file:
            self._file.close()

    def requests(self, last: int | None = None) -> list[dict[str, Any]]:
        entries = list(self._entries)
        return [asdict(entry) for entry in (entries if last is None else entries[-last:])]

    def counters(self) -> dict[str, Any]:
        """Count finished requests by family and status, and those `limited` by client id, family and limit."""
        families: dict[str, dict[str, int]] = {}
        for (family, status), count in self._counts.items():
            families.setdefault(family, {})[str(status)] = count
        totals = {family: sum(statuses.values()) for family, statuses in families.items()}
        return {
            "total": sum(totals.values()),
            "families": totals,
            "statuses": families,
            "limited": self._count_limited(),
        }

    def _count_limited(self) -> dict[str, dict[str, dict[str, int]]]:
        clients: dict[str, dict[str, dict[str, int]]] = {}
        for (client, family, limit), count in self._refused.items():
            clients.setdefault(client, {}).setdefault(family, {})[limit] = count
        return clients


@dataclass
class HeldRequest:
    entry: LoggedRequest
    rule: int
    released: asyncio.Event


class HeldRequests:
    """Requests that wait until they are released."""

    def __init__(self) -> None:
        self._held: dict[int, HeldRequest] = {}
        self._last = 0

    async def wait(self, entry: LoggedRequest, rule: int, seconds: float) -> None:
        self._last += 1
        number, held = self._last, HeldRequest(entry, rule, asyncio.Event())
        self._held[number] = held
        try:
            await asyncio.wait_for(held.released.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self._held.pop(number, None)

    def as_dicts(self) -> list[dict[str, Any]]:
        return [{"hold": number, "rule": held.rule, **asdict(held.entry)} for number, held in self._held.items()]

    def release(self, number: int | None = None) -> int:
        """Release one request, or all; return how many."""
        chosen = [held for each, held in self._held.items() if number in (None, each) and not held.released.is_set()]
        for held in chosen:
            held.released.set()
        return len(chosen)
