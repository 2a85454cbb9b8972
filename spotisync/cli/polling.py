"""Looking at a run again and again."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from spotisync.cli.formatting import Document, is_finished
from spotisync.errors import Fatal, Unavailable

if TYPE_CHECKING:
    from spotisync.store.database import Database

T = TypeVar("T")

PACE: Final = 0.2
PATIENCE: Final = 60.0
"""With a database that is away, in seconds: a restart or a failover must not end the watching."""


@dataclass(frozen=True)
class Observation(Generic[T]):
    """What was seen last. `away`: for so many seconds nothing newer could be seen."""

    seen: T
    away: float | None = None


def poll_until_finished(look: Callable[[], Document]) -> Iterator[Observation[Document]]:
    """The run as it stands, until it is over."""
    for each in poll(look):
        yield each
        if is_finished(each.seen):
            return


def poll(look: Callable[[], T], patience: float = PATIENCE) -> Iterator[Observation[T]]:
    """Look five times a second, without end. While the database is away the last look stands, for a minute."""
    last, seen, away = look(), time.monotonic(), None
    while True:
        yield Observation(last, away)
        time.sleep(PACE)
        try:
            last, seen, away = look(), time.monotonic(), None
        except Unavailable:
            away = time.monotonic() - seen
            if away > patience:
                raise


def run_reader(database: "Database", sync_id: int) -> Callable[[], Document]:
    """Raises `Fatal` when the run is gone, with its account."""
    from spotisync import status
    from spotisync.settings import settings

    def look() -> Document:
        with database.begin() as connection:
            run = status.run(connection, settings(), sync_id)
        if run is None:
            raise Fatal(f"there is no run {sync_id}")
        return run

    return look
