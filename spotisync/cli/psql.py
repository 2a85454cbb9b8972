"""`spotisync psql`: open psql on the library."""

import os
import shutil
from pathlib import Path

import typer


def psql(context: typer.Context) -> None:
    """Open psql on the library, in the time zone of SPOTISYNC_TIMEZONE.

    All arguments but --demo are passed to psql. PGTZ sets another time zone.
    """
    from spotisync.cli.context import open_database
    from spotisync.settings import settings
    from spotisync.store.database import split_password
    from spotisync.store.time_zones import is_known

    zone = settings().zone
    with open_database() as database, database.begin() as connection:
        zones = {"PGTZ": zone} if is_known(connection, zone) else {}
    address, password = split_password(settings().database)
    # Every user of the machine can read a command line, but not the environment of a process.
    environment = {**zones, **os.environ, **({"PGPASSWORD": password} if password else {})}  # noqa: TID251 (passed on unchanged)
    os.execve(_find_psql(), ["psql", f"--dbname={address}", *context.args], environment)  # noqa: S606 (no shell)


def _find_psql() -> Path | str:
    """Prefer the system's psql, which fits the terminal best, to that of the embedded server."""
    from spotisync.settings import settings
    from spotisync.stack.binaries import postgres_binaries

    return shutil.which("psql") or postgres_binaries(settings().data_dir, None) / "psql"
