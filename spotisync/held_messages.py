"""The messages that a worker holds in memory until their `eta`. Celery bounds neither their number nor their size."""

import time
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

# The worker's own messages with an eta are of batches that wait: a few per account.
MAX_MESSAGES = 1_000
# Of their bodies. In memory each is kept as bytes, and as the objects that these decode to.
MAX_BYTES = 8 * 2**20


@dataclass
class HeldMessages:
    """The messages of one kind, by delivery tag. One whose eta has passed is no longer held."""

    max_messages: int = MAX_MESSAGES
    max_bytes: int = MAX_BYTES
    _sizes: dict[str, int] = field(default_factory=dict)
    _by_eta: list[tuple[float, str]] = field(default_factory=list)
    _bytes: int = 0

    def __contains__(self, tag: str) -> bool:
        return tag in self._sizes

    def has_room(self, size: int) -> bool:
        self._forget_due(time.time())
        return len(self._sizes) < self.max_messages and self._bytes + size <= self.max_bytes

    def add(self, tag: str, eta: float, size: int) -> None:
        self._sizes[tag] = size
        self._bytes += size
        heappush(self._by_eta, (eta, tag))

    def _forget_due(self, now: float) -> None:
        while self._by_eta and self._by_eta[0][0] <= now:
            _, tag = heappop(self._by_eta)
            self._bytes -= self._sizes.pop(tag)


class EtaLimit:
    """Room for messages due within `near` seconds, within a day, and later, so that none of these takes all of it."""

    def __init__(self, near: float) -> None:
        self._kinds = {seconds: HeldMessages() for seconds in (near, 86_400.0, inf)}

    def choose(self, eta: float) -> HeldMessages:
        remaining = eta - time.time()
        return next(held for seconds, held in self._kinds.items() if remaining <= seconds)

    def __contains__(self, tag: str) -> bool:
        return any(tag in held for held in self._kinds.values())
