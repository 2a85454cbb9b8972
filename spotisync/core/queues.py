"""The queues, and the order in which a worker takes messages from them.

A batch publishes the next one at the end of its queue, so the runs in a queue take turns: a large library delays no
other. Scheduled full syncs, which begin in large numbers, have a queue of their own.
"""

from collections.abc import Iterable, Mapping
from typing import Final

SYNC: Final = "spotisync.sync"
INTERACTIVE: Final = "spotisync.interactive"
BACKLOG: Final = "spotisync.backlog"
CONTROL: Final = "spotisync.control"
PLAYBACK: Final = "spotisync.playback"
HOUSEKEEPING: Final = "spotisync.housekeeping"

# Turns of each queue while all have messages.
WEIGHTS: Final[Mapping[str, int]] = {
    SYNC: 8,
    INTERACTIVE: 16,
    BACKLOG: 1,
    CONTROL: 16,
    PLAYBACK: 8,
    HOUSEKEEPING: 1,
}
# The queues of runs. A worker of the first one alone takes messages of the others, too: it was the only one of runs.
OF_RUNS: Final = (SYNC, INTERACTIVE, BACKLOG)


def get_queue(sync_type: str, *, asked: bool) -> str:
    """The queue of a run's batches. `asked`: by a person or another service, not the schedule."""
    if sync_type == "full":
        return SYNC if asked else BACKLOG
    return INTERACTIVE if asked else SYNC


class WeightedCycle:
    """The order in which Redis looks for the next message, as one of Kombu's cycles.

    A queue moves back after each message, by less the more weight it has. A queue without messages collects no turns.
    RabbitMQ does not use it: there, each queue has an equal share.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._places: dict[str, float] = {}
        self.update(names)

    def update(self, names: Iterable[str]) -> None:
        first = min(self._places.values(), default=0.0)
        self._places = {name: self._places.get(name, first) for name in names}

    def consume(self, n: int) -> list[str]:
        return sorted(self._places, key=self._places.__getitem__)[:n]

    def rotate(self, last_used: str) -> str:
        """Note that a message was taken from `last_used`: the queues before it had none."""
        place = self._places.get(last_used)
        if place is not None:
            self._places = {name: max(each, place) for name, each in self._places.items()}
            self._places[last_used] = place + 1 / WEIGHTS.get(last_used, 1)
        return last_used
