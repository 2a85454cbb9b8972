"""What a command works with, closed when it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotisync.store.database import Database
    from spotisync.sync import Sync


@contextmanager
def use_cases() -> Iterator["Sync"]:
    """For what acts. Raises `Misconfigured` without a client id."""
    from spotisync.settings import settings
    from spotisync.sync import Sync

    sync = Sync.from_settings(settings())
    try:
        yield sync
    finally:
        sync.close()


@contextmanager
def library() -> Iterator["Database"]:
    """For what only looks: the database is all it needs."""
    from spotisync.settings import settings
    from spotisync.store.database import Database

    database = Database(settings().database)
    try:
        yield database
    finally:
        database.close()
