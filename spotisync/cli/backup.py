"""`spotisync backup` and `restore`: the whole database as one file, that each later PostgreSQL can read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.output import console, print_text
from spotisync.cli.resources import open_database
from spotisync.core.oauth import LOGIN
from spotisync.errors import Fatal, Misconfigured, Unavailable

if TYPE_CHECKING:
    from spotisync.settings import Settings
    from spotisync.stack.backup import Tell


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Replaced when the new one is whole, not before.")],
) -> None:
    """Write all tables to one file. It can be done while syncs go on, and while nothing runs."""
    from spotisync.settings import settings
    from spotisync.stack import backup as programs

    chosen = settings()
    if not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no directory {file.absolute().parent}", param_hint="FILE")
    with _server(chosen), _telling("backing up") as tell:
        programs.dump(chosen, file, tell)
    print_text(f"{file}: {file.stat().st_size / 1e6:,.1f} MB. Logins in it are encrypted: {_where_the_key_is(chosen)}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A backup.")],
) -> None:
    """Read a backup into a database without accounts, such as that of a new data dir. All of it, or nothing."""
    from spotisync.settings import settings
    from spotisync.stack import backup as programs
    from spotisync.store import migrate

    chosen = settings()
    programs.check_backup(chosen, file)
    with _alone(chosen):
        _check_empty(chosen)
        with _telling("restoring") as tell:
            programs.restore(chosen, file, tell)
        migrate.upgrade(chosen.database)
        names = _accounts()
        print_text(f"Restored: {', '.join(names) or 'no account was in it'}.")
        _tell_of_logins(chosen)


def _where_the_key_is(chosen: "Settings") -> str:
    if chosen.embedded_postgres and not chosen.secret_key:
        return f"keep {chosen.data_dir / 'secret.key'} too, apart from it."
    return "keep SPOTISYNC_SECRET_KEY too, apart from it."


@contextmanager
def _server(chosen: "Settings") -> Iterator[None]:
    """The one that runs; else the embedded one, for as long as this lasts."""
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
        raise Fatal(f"there is no library in {chosen.data_dir} yet")
    with programs.embedded_server(chosen):
        yield


@contextmanager
def _alone(chosen: "Settings") -> Iterator[None]:
    """Nothing of ours works in the database meanwhile, as far as can be known."""
    from spotisync.stack import backup as programs

    if not chosen.embedded_postgres:
        yield
        return
    with programs.embedded_server(chosen):
        yield


def _check_empty(chosen: "Settings") -> None:
    """Tables without an account hold nothing that is missed; they go, or newer ones would stay beside old ones."""
    from spotisync.store import migrate

    there, _ = migrate.revisions(chosen.database)
    if there is None:
        return
    migrate.upgrade(chosen.database)
    if names := _accounts():
        raise Fatal(
            f"this database holds the library of {', '.join(names)}, which is not overwritten. Restore into another "
            "one: SPOTISYNC_DATA_DIR or SPOTISYNC_DATABASE_URL says which"
        )
    migrate.downgrade(chosen.database, "base")


def _accounts() -> list[str]:
    from spotisync.store import accounts

    with open_database() as database, database.begin() as connection:
        return [account.spotify_user_id for account in accounts.list_accounts(connection)]


def _tell_of_logins(chosen: "Settings") -> None:
    from spotisync.store import accounts

    try:
        with open_database() as database, database.begin() as connection:
            accounts.check_key(connection, accounts.TokenVault(chosen.secret_keys()))
    except Misconfigured:
        print_text(
            "Its logins were encrypted with another key: put the old secret.key into this data dir (or the key into "
            f"SPOTISYNC_SECRET_KEY), or log in again: {LOGIN}"
        )


@contextmanager
def _telling(what: str) -> Iterator["Tell"]:
    screen = console(stderr=True)
    with screen.status(what) as shown:
        yield lambda table: shown.update(f"{what}: {table}")
