"""Looking at a run again and again."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from spotisync.cli.words import Document, is_over
from spotisync.errors import Fatal, Unavailable

if TYPE_CHECKING:
    from spotisync.store.database import Database

T = TypeVar("T")

PACE: Final = 0.2
PATIENCE: Final = 60.0
"""With a database that is away, in seconds: a restart or a failover must not end the watching."""


def until_over(look: Callable[[], Document]) -> Iterator[Document]:
    """The run as it stands, until it is over."""
    for run in looks(look):
        yield run
        if is_over(run):
            return


def looks(look: Callable[[], T]) -> Iterator[T]:
    """Look five times a second, without end. While the database is away the last look stands, for a minute."""
    last, seen = look(), time.monotonic()
    while True:
        yield last
        time.sleep(PACE)
        try:
            last, seen = look(), time.monotonic()
        except Unavailable:
            if time.monotonic() > seen + PATIENCE:
                raise


def look_at(database: "Database", sync_id: int) -> Callable[[], Document]:
    """Raises `Fatal` when the run is gone, with its account."""
    from spotisync import status

    def look() -> Document:
        with database.begin() as connection:
            run = status.run(connection, sync_id)
        if run is None:
            raise Fatal(f"there is no run {sync_id}")
        return run

    return look
