"""`spotisync db`: migrations."""

import sys
from typing import Annotated

import typer

from spotisync.cli.output import print_text

app = typer.Typer(help="The tables: bring them up to date, or back.", no_args_is_help=True)


@app.command(epilog="Example: spotisync db upgrade")
def upgrade() -> None:
    """Bring the tables up to date. `spotisync up` and `spotisync demo` do it by themselves."""
    from spotisync.settings import settings
    from spotisync.store import migrate

    migrate.upgrade(settings().database)
    current()


@app.command(epilog="Example: spotisync db downgrade 0001")
def downgrade(
    revision: Annotated[str, typer.Argument(metavar="REV", help="`base` drops every table, with all in it.")],
) -> None:
    """Go back to a revision."""
    from spotisync.settings import settings
    from spotisync.store import migrate

    try:
        migrate.downgrade(settings().database, revision)
    except LookupError as error:
        raise typer.BadParameter(str(error), param_hint="REV") from None
    current()


@app.command(epilog="Example: spotisync db current")
def current() -> None:
    """Say which revision the tables are at, and which one this version needs."""
    from spotisync.settings import settings
    from spotisync.store import migrate

    there, needed = migrate.revisions(settings().database)
    if there == needed:
        print_text(f"The tables are at {there}, as this version needs them.")
    else:
        print_text(f"The tables are at {there or 'nothing'}, this version needs {needed}: spotisync db upgrade")


@app.command(epilog="Example: spotisync db reader")
def reader(
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Take the password from stdin; else one is made, and printed.")
    ] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove the role.")] = False,
) -> None:
    """Make a role for dashboards, `spotisync_reader`: it reads the library, no login, and changes nothing."""
    from spotisync.cli.resources import open_database
    from spotisync.store import reader_role

    if drop:
        with open_database() as database, database.begin() as connection:
            gone = reader_role.drop(connection)
        print_text(f"{reader_role.NAME} is gone." if gone else f"There is no {reader_role.NAME}.")
        return
    password = _password(asked=password_stdin)
    with open_database() as database, database.begin() as connection:
        reader_role.create_or_update(connection, password)
    print_text(
        f"{reader_role.NAME} can read the library" + ("." if password_stdin else f", with this password: {password}")
    )


def _password(*, asked: bool) -> str:
    import secrets

    if not asked:
        return secrets.token_urlsafe(24)
    if not (password := sys.stdin.read().strip()):
        raise typer.BadParameter("there is no password on stdin", param_hint="--password-stdin")
    return password
