"""`spotisync db`: migrations, and the read-only role."""

import secrets
import sys
from typing import Annotated

import typer

from spotisync.cli.output import print_text

app = typer.Typer(help="Manage the database schema.", no_args_is_help=True)


@app.command(epilog="Example: spotisync db upgrade")
def upgrade() -> None:
    """Migrate the schema to the revision that this version needs.

    The commands up and demo do this at each start.
    """
    from spotisync.settings import settings
    from spotisync.store import migrate

    migrate.upgrade(settings().migration_database)
    current()


@app.command(epilog="Example: spotisync db downgrade 0001")
def downgrade(
    revision: Annotated[str, typer.Argument(metavar="REV", help="Target revision; base drops all tables.")],
) -> None:
    """Migrate the schema back to an older revision."""
    from spotisync.settings import settings
    from spotisync.store import migrate

    try:
        migrate.downgrade(settings().migration_database, revision)
    except LookupError as error:
        raise typer.BadParameter(str(error), param_hint="REV") from None
    current()


@app.command(epilog="Example: spotisync db current")
def current() -> None:
    """Show the revision of the schema, and the one that this version needs."""
    from spotisync.settings import settings
    from spotisync.store import migrate

    revision, needed = migrate.get_revisions(settings().migration_database)
    if revision == needed:
        print_text(f"The schema is up to date, at revision {revision}.")
    else:
        print_text(f"The schema is at revision {revision or 'none'}, this version needs {needed}: spotisync db upgrade")


@app.command(epilog="Example: spotisync db reader")
def reader(
    *,
    password_stdin: Annotated[
        bool,
        typer.Option("--password-stdin", help="Read the password from stdin. Default: generate and print one."),
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Drop the role instead.")] = False,
) -> None:
    """Create the role spotisync_reader, for dashboards.

    The role can read the library, but no tokens, and can't write. Its sessions
    use SPOTISYNC_TIMEZONE. If it exists, its password is changed.
    """
    from spotisync.cli.context import open_database
    from spotisync.settings import settings
    from spotisync.store import reader_role

    if drop:
        with open_database() as database, database.begin() as connection:
            dropped = reader_role.drop(connection)
        print_text(f"Dropped {reader_role.NAME}." if dropped else f"{reader_role.NAME} does not exist.")
        return
    password = _read_password() if password_stdin else secrets.token_urlsafe(24)
    with open_database() as database, database.begin() as connection:
        reader_role.create_or_update(connection, password, settings().zone)
    print_text(
        f"{reader_role.NAME} can now read the library." + ("" if password_stdin else f" Its password: {password}")
    )


def _read_password() -> str:
    if not (password := sys.stdin.read().strip()):
        raise typer.BadParameter("expected a password on stdin", param_hint="--password-stdin")
    return password
