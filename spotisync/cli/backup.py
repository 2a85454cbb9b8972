"""`spotisync backup` and `restore`: the database as one file, which any later PostgreSQL can read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.context import open_database
from spotisync.cli.output import console, print_text
from spotisync.core.oauth import LOGIN
from spotisync.errors import Fatal, Misconfigured, Unavailable

if TYPE_CHECKING:
    from spotisync.settings import Settings
    from spotisync.stack.archive import Archive

MAX_OTHERS_SHOWN: Final = 10


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
    from spotisync.sync.output_files import check_target

    chosen = settings()
    check_target(file)
    if not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"no such directory: {file.absolute().parent}", param_hint="FILE")
    with _running_server(chosen), _progress("backing up") as show:
        programs.dump(chosen, file, show)
    print_text(f"{file}: {file.stat().st_size / 1e6:,.1f} MB. The logins in it are encrypted. {_key_hint(chosen)}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="File written by backup.")],
    *,
    skip_others: Annotated[
        bool,
        typer.Option("--skip-others", help="Leave out what is not part of spotisync, such as views of your own."),
    ] = False,
) -> None:
    """Restore a backup into a database without accounts.

    To create one, set SPOTISYNC_DATA_DIR to a new directory. Either the whole
    backup is restored or nothing. Only rows are read from the file: it can
    contain no command that is executed.
    """
    from spotisync.settings import settings
    from spotisync.stack import backup as programs
    from spotisync.stack.archive import Archive

    chosen = settings()
    archive = Archive(chosen, file)
    revision = _read_revision(archive)
    with programs.embedded_server(chosen) if chosen.embedded_postgres else nullcontext():
        _restore(chosen, archive, revision, skip_others=skip_others)
        print_text(f"Restored accounts: {', '.join(_list_accounts(chosen)) or 'none'}.")
        _warn_about_key(chosen)


def _read_revision(archive: "Archive") -> str:
    """Read the revision of the backup. Raises `Fatal` if a newer version of spotisync made it."""
    from spotisync.store import migrate

    revision = archive.read_revision()
    if migrate.find_newer_revision(revision):
        raise Fatal(f"the backup is at revision {revision}, which this version of spotisync does not know: update it")
    return revision


def _restore(chosen: "Settings", archive: "Archive", revision: str, *, skip_others: bool) -> None:
    """Make the tables by the migrations, as they were when the backup was made; load its rows; migrate them."""
    from spotisync.stack.archive import list_known_entries
    from spotisync.store import migrate
    from spotisync.store import restore as store
    from spotisync.sync.restore import restore_rows

    _clear_if_empty(chosen)
    migrate.upgrade(chosen.migration_database, revision)
    with open_database(chosen, for_migration=True) as database:
        with database.begin() as connection:
            sequences = store.list_sequences(connection)
        others = archive.find_others(list_known_entries(chosen, store.TABLES, sequences))
        if others and not skip_others:
            raise Fatal(_describe_others(others))
        with _progress("restoring") as show, archive.open_rows(store.TABLES, sequences) as items:
            restore_rows(database, items, show)
    migrate.upgrade(chosen.migration_database)


def _describe_others(others: list[str]) -> str:
    shown = "; ".join([*others[:MAX_OTHERS_SHOWN], *(["…"] if len(others) > MAX_OTHERS_SHOWN else [])])
    return (
        f"the backup contains {len(others):,} entries that are not part of spotisync: {shown}. "
        "Nothing was restored. To leave them out: spotisync restore --skip-others"
    )


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
    if names := _list_accounts(chosen):
        raise Fatal(
            f"this database already contains the library of {', '.join(names)}. Choose an empty one: set "
            "SPOTISYNC_DATA_DIR or SPOTISYNC_DATABASE_URL"
        )
    migrate.downgrade(chosen.migration_database, "base")


def _list_accounts(chosen: "Settings") -> list[str]:
    from spotisync.store import accounts

    with open_database(chosen) as database, database.begin() as connection:
        return [account.spotify_user_id for account in accounts.list_accounts(connection)]


def _warn_about_key(chosen: "Settings") -> None:
    from spotisync.store import accounts

    try:
        with open_database(chosen) as database, database.begin() as connection:
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
