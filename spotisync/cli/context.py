"""What several commands share: options, and resources that are closed when the command ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spotisync.settings import Settings
    from spotisync.store.database import Database
    from spotisync.sync import Context

Account = Annotated[
    str | None, typer.Option("--account", help="Spotify user ID. Optional if there is only one account.")
]
OneAccount = Annotated[str | None, typer.Option("--account", help="Only this account (a Spotify user ID).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show live progress until the run ends; exit 0 only on success.")]
RunId = Annotated[int, typer.Argument(metavar="ID", help="Number of the run, as shown by status and history.")]


@contextmanager
def open_context(chosen: "Settings | None" = None) -> Iterator["Context"]:
    """Open the database and everything that syncs need. Raises `Misconfigured` without a client ID."""
    from spotisync import telemetry
    from spotisync.settings import settings
    from spotisync.sync import Context

    telemetry.start(chosen or settings())
    context = Context.from_settings(chosen or settings())
    try:
        yield context
    finally:
        context.close()
        telemetry.stop()


@contextmanager
def open_database(chosen: "Settings | None" = None, *, for_migration: bool = False) -> Iterator["Database"]:
    """Open the database alone, without a client ID. `for_migration`: as the role that owns the tables."""
    from spotisync.settings import settings
    from spotisync.store.database import Database

    found = chosen or settings()
    database = Database(found.migration_database if for_migration else found.database)
    try:
        yield database
    finally:
        database.close()
