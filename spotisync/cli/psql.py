"""`spotisync psql`: a prompt on the library."""

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer


def psql(
    context: typer.Context,
    *,
    demo: Annotated[bool, typer.Option("--demo", help="On the library of the demo that runs now.")] = False,
) -> None:
    """Open psql on the library. All other arguments are handed to psql."""
    from spotisync.settings import settings
    from spotisync.store.database import address_and_password

    _check_reachable(demo=demo)
    address, password = address_and_password(settings().database)
    # A command line can be read by everybody on the machine, the environment of a process can't.
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}  # noqa: TID251 (handed on whole)
    os.execve(_program(), ["psql", f"--dbname={address}", *context.args], environment)  # noqa: S606 (no shell wanted)


def _check_reachable(*, demo: bool) -> None:
    from spotisync.cli.demo.environment import use_demo_data_dir
    from spotisync.cli.resources import open_database
    from spotisync.errors import Unavailable

    if demo:
        use_demo_data_dir()
    try:
        with open_database() as database, database.begin():
            pass
    except Unavailable:
        if demo:
            raise Unavailable("the demo does not run; start it with: spotisync demo") from None
        raise


def _program() -> Path | str:
    """The one of the system, which knows the terminal best, or the one beside the embedded server."""
    from spotisync.settings import settings
    from spotisync.stack.binaries import postgres_binaries

    return shutil.which("psql") or postgres_binaries(settings().data_dir, None) / "psql"
