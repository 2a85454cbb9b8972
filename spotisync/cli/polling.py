"""Poll the state of a run."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from spotisync.cli.formatting import Document, is_finished
from spotisync.errors import Fatal, Unavailable

if TYPE_CHECKING:
    from spotisync.store.database import Database

T = TypeVar("T")

POLL_INTERVAL: Final = 0.2
MAX_OUTAGE: Final = 60.0
"""Seconds without the database before polling gives up: a restart or failover must not end `--watch`."""


@dataclass(frozen=True)
class Observation(Generic[T]):
    """The last value read. `outage`: seconds for which the database could not be reached, or None."""

    value: T
    outage: float | None = None


def poll_until_finished(read: Callable[[], Document]) -> Iterator[Observation[Document]]:
    """Yield the run repeatedly, until it has ended."""
    for each in poll(read):
        yield each
        if is_finished(each.value):
            return


def poll(read: Callable[[], T], max_outage: float = MAX_OUTAGE) -> Iterator[Observation[T]]:
    """Read five times a second, endlessly. Repeat the last value during an outage, for up to `max_outage` seconds."""
    value, read_at, outage = read(), time.monotonic(), None
    while True:
        yield Observation(value, outage)
        time.sleep(POLL_INTERVAL)
        try:
            value, read_at, outage = read(), time.monotonic(), None
        except Unavailable:
            outage = time.monotonic() - read_at
            if outage > max_outage:
                raise


def make_run_reader(database: "Database", sync_id: int) -> Callable[[], Document]:
    """Return a function that reads the run. It raises `Fatal` once the run was deleted."""
    from spotisync import status
    from spotisync.settings import settings

    def read() -> Document:
        with database.begin() as connection:
            run = status.run(connection, settings(), sync_id)
        if run is None:
            raise Fatal(f"run {sync_id} was deleted")
        return run

    return read
