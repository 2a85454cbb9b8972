"""`spotisync accounts`: whose libraries are synced."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotisync.cli.endings import ADD
from spotisync.cli.opened import library, use_cases
from spotisync.cli.options import AsJson
from spotisync.cli.output import console, document, say

if TYPE_CHECKING:
    from spotisync.store.accounts import Account

app = typer.Typer(help="Whose libraries are synced.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Spotify user id.")]


@app.command("list", epilog="Example: spotisync accounts list --json")
def list_(*, json: AsJson = False) -> None:
    """List the accounts, and whether each can be synced."""
    from spotisync.store import accounts

    with library() as database, database.begin() as connection:
        found = accounts.every(connection)
    if json:
        document([_plain(account) for account in found])
    elif found:
        _print_table(found)
    else:
        say(f"There is no account yet. Add one: {ADD}")


@app.command(epilog="Example: spotisync accounts add --refresh-token-stdin < token.txt")
def add(
    *,
    refresh_token_stdin: Annotated[
        bool, typer.Option("--refresh-token-stdin", help="Read the account's refresh token from stdin.")
    ] = False,
    authorised_at: Annotated[
        str | None,
        typer.Option(help="When it was authorised, as 2026-11-22T20:00:00Z; Spotify ends a login half a year later."),
    ] = None,
) -> None:
    """Add an account by a refresh token of your Spotify app, or give one a new token. It is stored encrypted."""
    if not refresh_token_stdin:
        raise typer.BadParameter(f"say where the token comes from: {ADD}")
    when = _time(authorised_at) if authorised_at else None
    token = _read_token()

    from spotisync.sync import enrol

    with use_cases() as sync:
        account = enrol.add(sync, token, when)
    say(f"Added {account.spotify_user_id}. Sync its library: spotisync sync full --wait")


@app.command(epilog="Example: spotisync accounts enable alice")
def enable(name: Name) -> None:
    """Sync this account again."""
    _set_status(name, "active")


@app.command(epilog="Example: spotisync accounts disable alice")
def disable(name: Name) -> None:
    """End the account's unfinished sync, and start no more; what is stored stays."""
    from spotisync import workflow

    _set_status(name, "disabled")
    workflow.sweep_soon()


@app.command(epilog="Example: spotisync accounts remove alice --yes")
def remove(name: Name, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete the account, its runs, saved tracks and playlists; artists, albums and tracks stay."""
    from spotisync import workflow
    from spotisync.store import accounts
    from spotisync.sync import enrol

    with library() as database, database.begin() as connection:
        accounts.named(connection, name)
    if not yes:
        typer.confirm(f"Delete {name} with all that was synced for it?", abort=True)
    with use_cases() as sync:
        enrol.remove(sync, name)
    workflow.sweep_soon()
    say(f"Removed {name}.")


def _set_status(name: str, status: str) -> None:
    from spotisync.sync import enrol

    with use_cases() as sync:
        account = enrol.set_status(sync, name, status)
    say(f"{account.spotify_user_id} is {account.status}.")


def _read_token() -> str:
    """From a terminal it is asked for, and not shown."""
    from getpass import getpass

    token = (getpass("Refresh token: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not token or len(token.split()) > 1:
        raise typer.BadParameter("there is no refresh token on stdin: one word is expected")
    return token


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write it as 2026-11-22T20:00:00Z", param_hint="--authorised-at") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(account: "Account") -> dict[str, Any]:
    return {
        "spotify_user_id": account.spotify_user_id,
        "display_name": account.display_name,
        "status": account.status,
        "authorised_at": account.authorised_at.isoformat() if account.authorised_at else None,
        "created_at": account.created_at.isoformat(),
        "last_error": account.last_error,
    }


def _print_table(found: list["Account"]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("account", "name", "status", "authorised", box=None)
    for account in found:
        authorised = f"{account.authorised_at.astimezone():%Y-%m-%d}" if account.authorised_at else ""
        table.add_row(*map(Text, (account.spotify_user_id, account.display_name or "", account.status, authorised)))
    console().print(table)
    for account in found:
        if account.last_error:
            say(f"{account.spotify_user_id}: {account.last_error}")
