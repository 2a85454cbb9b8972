"""`spotisync accounts`: whose libraries are synced."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotisync.cli.options import AsJson
from spotisync.cli.output import console, print_json, print_text
from spotisync.cli.resources import open_context, open_database
from spotisync.core.oauth import LOGIN

if TYPE_CHECKING:
    from spotisync.core.oauth import LoginState
    from spotisync.store.accounts import Account

    Found = list[tuple[Account, LoginState]]

app = typer.Typer(help="Whose libraries are synced.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Spotify user id.")]


@app.command("list", epilog="Example: spotisync accounts list --json")
def list_(*, json: AsJson = False) -> None:
    """List the accounts, and whether each can be synced."""
    from spotisync.store import accounts

    with open_database() as database, database.begin() as connection:
        standing = {each.account: each for each in accounts.login_states(connection)}
        every = accounts.list_accounts(connection)
    found = [(each, standing[each.spotify_user_id]) for each in every if each.spotify_user_id in standing]
    if json:
        print_json([_plain(*each) for each in found])
    elif found:
        _print_table(found)
    else:
        print_text(f"There is no account yet. Log in: {LOGIN}")


@app.command(epilog="Example: spotisync accounts add --refresh-token-stdin < token.txt")
def add(
    *,
    refresh_token_stdin: Annotated[
        bool, typer.Option("--refresh-token-stdin", help="Read the account's refresh token from stdin.")
    ] = False,
    authorised_at: Annotated[
        str | None,
        typer.Option(
            help="When the person agreed: 2026-11-22T20:00:00Z; default: now. Spotify ends a login half a year later."
        ),
    ] = None,
) -> None:
    """Add an account by a refresh token of your Spotify app, or give one a new token. It is stored encrypted."""
    if not refresh_token_stdin:
        raise typer.BadParameter(
            f"say where the token comes from: --refresh-token-stdin. To log in by a browser: {LOGIN}"
        )
    when = _time(authorised_at) if authorised_at else None
    token = _read_token()

    from spotisync.sync import accounts as enrol

    with open_context() as context:
        account = enrol.add(context, token, when)
    print_text(f"Added {account.spotify_user_id}. Sync its library: spotisync sync full --wait")


@app.command(epilog="Example: spotisync accounts enable alice")
def enable(name: Name) -> None:
    """Sync this account again."""
    _set_status(name, "active")


@app.command(epilog="Example: spotisync accounts disable alice")
def disable(name: Name) -> None:
    """End the sync of this account that is going, and start no more; what is stored stays."""
    from spotisync import canvas

    _set_status(name, "disabled")
    canvas.request_sweep()


@app.command(epilog="Example: spotisync accounts remove alice --yes")
def remove(name: Name, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete the account, its runs, saved tracks and playlists; artists, albums and tracks stay."""
    from spotisync import canvas
    from spotisync.store import accounts
    from spotisync.sync import accounts as enrol

    with open_database() as database, database.begin() as connection:
        accounts.find_account(connection, name)
    if not yes:
        typer.confirm(f"Delete {name} with all that was synced for it?", abort=True)
    with open_context() as context:
        enrol.remove(context, name)
    canvas.request_sweep()
    print_text(f"Removed {name}.")


def _set_status(name: str, status: str) -> None:
    from spotisync.sync import accounts as enrol

    with open_context() as context:
        account = enrol.set_status(context, name, status)
    print_text(f"{account.spotify_user_id} is {account.status}.")


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
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise typer.BadParameter("that is yet to come", param_hint="--authorised-at")
    return moment


def _plain(account: "Account", standing: "LoginState") -> dict[str, Any]:
    return {
        "spotify_user_id": account.spotify_user_id,
        "spotify_account_id": account.spotify_account_id,
        "display_name": account.display_name,
        "status": account.status,
        "authorised_at": account.authorised_at.isoformat() if account.authorised_at else None,
        "expires_at": standing.expires_at.isoformat() if standing.expires_at else None,
        "missing_scopes": list(standing.missing),
        "created_at": account.created_at.isoformat(),
        "last_error": account.last_error,
        "warning": standing.warning,
    }


def _print_table(found: "Found") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("account", "name", "status", "authorised", "good until", box=None)
    for account, standing in found:
        cells = account.spotify_user_id, account.display_name or "", account.status
        table.add_row(*map(Text, (*cells, _day(account.authorised_at), _day(standing.expires_at))))
    console().print(table)
    for account, standing in found:
        if standing.warning:
            print_text(standing.warning)
        elif account.last_error:
            print_text(f"{account.spotify_user_id}: {account.last_error}")


def _day(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d}" if moment else ""
