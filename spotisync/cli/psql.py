"""`spotisync psql`: open psql on the library."""

import os
import shutil
from pathlib import Path

import typer


def psql(context: typer.Context) -> None:
    """Open psql on the library.

    All arguments but --demo are passed to psql.
    """
    from spotisync.cli.context import open_database
    from spotisync.settings import settings
    from spotisync.store.database import split_password

    with open_database() as database, database.begin():
        pass
    address, password = split_password(settings().database)
    # Every user of the machine can read a command line, but not the environment of a process.
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}  # noqa: TID251 (passed on unchanged)
    os.execve(_find_psql(), ["psql", f"--dbname={address}", *context.args], environment)  # noqa: S606 (no shell)


def _find_psql() -> Path | str:
    """Prefer the system's psql, which fits the terminal best, to that of the embedded server."""
    from spotisync.settings import settings
    from spotisync.stack.binaries import postgres_binaries

    return shutil.which("psql") or postgres_binaries(settings().data_dir, None) / "psql"
