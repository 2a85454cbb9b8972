"""`spotisync backup` and `restore`: the database as one file, which any later PostgreSQL can read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.context import open_database
from spotisync.cli.output import console, print_text
from spotisync.core.oauth import LOGIN
from spotisync.errors import Fatal, Misconfigured, Unavailable

if TYPE_CHECKING:
    from spotisync.settings import Settings


def backup(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="File to write; replaced once the backup is complete."),
    ],
) -> None:
    """Write the database to one file.

    Works while syncs run, and also while spotisync is stopped.
    """
    from spotisync.settings import settings
    from spotisync.stack import backup as programs

    chosen = settings()
    if not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"no such directory: {file.absolute().parent}", param_hint="FILE")
    with _running_server(chosen), _progress("backing up") as show:
        programs.dump(chosen, file, show)
    print_text(f"{file}: {file.stat().st_size / 1e6:,.1f} MB. The logins in it are encrypted. {_key_hint(chosen)}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="File written by backup.")],
) -> None:
    """Restore a backup into a database without accounts.

    To create one, set SPOTISYNC_DATA_DIR to a new directory. Either the whole
    backup is restored or nothing.
    """
    from spotisync.settings import settings
    from spotisync.stack import backup as programs
    from spotisync.store import migrate

    chosen = settings()
    programs.check_backup(chosen, file)
    with programs.embedded_server(chosen) if chosen.embedded_postgres else nullcontext():
        _clear_if_empty(chosen)
        with _progress("restoring") as show:
            programs.restore(chosen, file, show)
        migrate.upgrade(chosen.migration_database)
        names = _list_accounts()
        print_text(f"Restored accounts: {', '.join(names) or 'none'}.")
        _warn_about_key(chosen)


def _key_hint(chosen: "Settings") -> str:
    generated = chosen.embedded_postgres and not chosen.secret_key
    return f"Keep {chosen.data_dir / 'secret.key' if generated else 'SPOTISYNC_SECRET_KEY'} in a separate place."


@contextmanager
def _running_server(chosen: "Settings") -> Iterator[None]:
    """Use the server if it is running; otherwise start the embedded one for the duration of the block."""
    from spotisync.stack import backup as programs

    try:
        with open_database() as database, database.begin():
            pass
    except Unavailable:
        if not chosen.embedded_postgres:
            raise
    else:
        yield
        return
    if not (chosen.data_dir / "postgres").exists():
        raise Fatal(f"no library in {chosen.data_dir}; set SPOTISYNC_DATA_DIR to the directory that holds it")
    with programs.embedded_server(chosen):
        yield


def _clear_if_empty(chosen: "Settings") -> None:
    """Drop the tables of a database without accounts: newer tables would remain beside those of an older backup.

    Raises `Fatal` if there is an account.
    """
    from spotisync.store import migrate

    revision, _ = migrate.get_revisions(chosen.migration_database)
    if revision is None:
        return
    migrate.upgrade(chosen.migration_database)
    if names := _list_accounts():
        raise Fatal(
            f"this database already contains the library of {', '.join(names)}. Choose an empty one: set "
            "SPOTISYNC_DATA_DIR or SPOTISYNC_DATABASE_URL"
        )
    migrate.downgrade(chosen.migration_database, "base")


def _list_accounts() -> list[str]:
    from spotisync.store import accounts

    with open_database() as database, database.begin() as connection:
        return [account.spotify_user_id for account in accounts.list_accounts(connection)]


def _warn_about_key(chosen: "Settings") -> None:
    from spotisync.store import accounts

    try:
        with open_database() as database, database.begin() as connection:
            accounts.check_key(connection, accounts.TokenVault(chosen.secret_keys()))
    except Misconfigured:
        print_text(
            "The logins in this backup were encrypted with another key. Copy the old secret.key into this data "
            f"directory (or add the key to SPOTISYNC_SECRET_KEY), or log in again: {LOGIN}"
        )


@contextmanager
def _progress(action: str) -> Iterator[Callable[[str], None]]:
    """Show the action and the current table on stderr."""
    with console(stderr=True).status(action) as shown:
        yield lambda table: shown.update(f"{action}: {table}")
