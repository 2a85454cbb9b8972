"""What a command works with, closed when it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotisync.store.database import Database
    from spotisync.sync import Context


@contextmanager
def open_context() -> Iterator["Context"]:
    """For what acts. Raises `Misconfigured` without a client id."""
    from spotisync.settings import settings
    from spotisync.sync import Context

    context = Context.from_settings(settings())
    try:
        yield context
    finally:
        context.close()


@contextmanager
def open_database() -> Iterator["Database"]:
    """For what only looks: the database is all it needs."""
    from spotisync.settings import settings
    from spotisync.store.database import Database

    database = Database(settings().database)
    try:
        yield database
    finally:
        database.close()
