"""`spotisync accounts`: manage the Spotify accounts whose libraries are synced."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotisync.cli.context import AsJson, open_context, open_database
from spotisync.cli.output import console, print_json, print_text
from spotisync.cli.own_app import ClientId, DefaultApp, Developer, SecretStdin, check_options, choose_app
from spotisync.core.oauth import LOGIN

if TYPE_CHECKING:
    from spotisync.core.oauth import LoginState
    from spotisync.store.accounts import Account
    from spotisync.sync import Context

app = typer.Typer(help="Manage the accounts whose libraries are synced.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Spotify user ID.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@app.command("list", epilog="Example: spotisync accounts list --json")
def list_(*, json: AsJson = False) -> None:
    """List the accounts with their status and the expiry of their logins."""
    from spotisync.store import accounts

    with open_database() as database, database.begin() as connection:
        logins = {each.account: each for each in accounts.list_login_states(connection)}
        found = accounts.list_accounts(connection)
    rows = [(each, logins[each.spotify_user_id]) for each in found if each.spotify_user_id in logins]
    if json:
        print_json([_as_dict(*row) for row in rows])
    elif rows:
        _print_table(rows)
    else:
        print_text(f"No account yet. Log in: {LOGIN}")


@app.command(epilog="Example: spotisync accounts add --refresh-token-stdin < token.txt")
def add(
    *,
    refresh_token_stdin: Annotated[
        bool, typer.Option("--refresh-token-stdin", help="Read the refresh token from stdin. Required.")
    ] = False,
    authorised_at: Annotated[
        str | None,
        typer.Option(
            help="When the user consented, for example 2026-11-22T20:00:00Z. Default: now. Spotify ends the login six "
            "months later."
        ),
    ] = None,
    client_id: ClientId = None,
    client_secret_stdin: SecretStdin = False,
    developer: Developer = None,
    default_app: DefaultApp = False,
) -> None:
    """Add an account by its refresh token, or replace the token of an existing one.

    The token must have been issued to your Spotify app, or to that of
    --client-id. With --client-secret-stdin, its secret is the second line of
    stdin. Both are stored encrypted.
    """
    if not refresh_token_stdin:
        raise typer.BadParameter(
            f"pass the refresh token on stdin, with --refresh-token-stdin. To log in with a browser: {LOGIN}"
        )
    when = _parse_time(authorised_at) if authorised_at else None
    check_options(client_id, developer, secret_stdin=client_secret_stdin, default_app=default_app)
    token = _read_token(one_line=client_secret_stdin)

    from spotisync.sync import accounts

    with open_context() as context:
        choice = choose_app(context, client_id, developer, secret_stdin=client_secret_stdin, default_app=default_app)
        account = accounts.add(context, token, when, choice)
    print_text(f"Added {account.spotify_user_id}. Sync its library: spotisync sync full --wait")


@app.command(epilog="Example: spotisync accounts enable alice")
def enable(name: Name) -> None:
    """Resume the syncs of a disabled account."""
    _set_status(name, "active")


@app.command(epilog="Example: spotisync accounts disable alice")
def disable(name: Name) -> None:
    """Stop syncing an account.

    Its current sync is cancelled. Its data is kept.
    """
    from spotisync import canvas

    _set_status(name, "disabled")
    canvas.request_sweep()


@app.command(epilog="Example: spotisync accounts remove alice --yes")
def remove(name: Name, *, yes: Yes = False) -> None:
    """Delete an account and its data.

    Its runs, saved items, playlists and plays are deleted. Artists, albums and
    tracks are kept.
    """
    from spotisync import canvas
    from spotisync.store.accounts import find_account
    from spotisync.sync import accounts

    with open_database() as database, database.begin() as connection:
        find_account(connection, name)
    if not yes:
        typer.confirm(f"Delete {name} and all data synced for it?", abort=True)
    with open_context() as context:
        accounts.remove(context, name)
    canvas.request_sweep()
    print_text(f"Removed {name}.")


@app.command("confirm-removal", epilog="Example: spotisync accounts confirm-removal alice")
def confirm_removal(
    name: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Spotify user ID.")],
    *,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Remove items that a sync has kept because most of a list was gone.

    When more than half of a list and more than 20 of its items are gone at
    once, that may be an error of Spotify, so a sync keeps them until another
    one finds the same. spotisync status shows it. If you removed them yourself,
    confirm it: a sync starts and removes those that Spotify still does not
    list. They stay in the database as removed. Nothing changes at Spotify.
    """
    from spotisync.cli import sync
    from spotisync.sync import removals

    with open_context() as context:
        _show_held_removals(context, name, json=json)
        if not yes:
            typer.confirm("Remove them?", abort=True, err=json)
        confirmed = removals.confirm(context, name, "cli")
        sync.publish(confirmed.triggered, json=json)
        if json:
            run = sync.read_summary(context, confirmed.triggered.run.id)
            return print_json({"account": name, "confirmed": confirmed.rows, "run": run})
    print_text(sync.describe(confirmed.triggered, "started"))
    if not confirmed.triggered.created:
        print_text("If it has already read the list, the next sync removes the items.")
    return print_text("Watch its progress: spotisync status --watch")


def _show_held_removals(context: "Context", name: str, *, json: bool) -> None:
    """Print the number of items by list, with `--json` on stderr. Raises `Fatal` if nothing is held."""
    from spotisync import status
    from spotisync.errors import Fatal
    from spotisync.sync import removals

    with context.database.begin() as connection:
        (document,) = status.documents(connection, context.settings, name)
    held = [each for each in document["deferred"] if each["kind"] == "removal"]
    if not held:
        raise Fatal(removals.nothing_held_message(name))
    print_text(f"Spotify no longer lists these items of {name}:", stderr=json)
    for each in held:
        print_text(f"  {each['rows']:,} {each['name']}", stderr=json)


def _set_status(name: str, status: str) -> None:
    from spotisync.sync import accounts

    with open_context() as context:
        account = accounts.set_status(context, name, status)
    print_text(f"{account.spotify_user_id} is {account.status}.")


def _read_token(*, one_line: bool = False) -> str:
    """Read the token from stdin; on a terminal, prompt for it without echo. `one_line`: leave the rest of stdin."""
    from getpass import getpass

    read = sys.stdin.readline if one_line else sys.stdin.read
    token = (getpass("Refresh token: ") if sys.stdin.isatty() else read()).strip()
    if not token or len(token.split()) > 1:
        raise typer.BadParameter("expected one refresh token on stdin, without whitespace")
    return token


def _parse_time(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter("expected a time such as 2026-11-22T20:00:00Z", param_hint="--authorised-at") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise typer.BadParameter("this time is in the future", param_hint="--authorised-at")
    return moment


def _as_dict(account: "Account", login: "LoginState") -> dict[str, Any]:
    return {
        "spotify_user_id": account.spotify_user_id,
        "spotify_account_id": account.spotify_account_id,
        "display_name": account.display_name,
        "status": account.status,
        "client_id": account.own_client_id,
        "developer": account.own_developer,
        "authorised_at": account.authorised_at.isoformat() if account.authorised_at else None,
        "expires_at": login.expires_at.isoformat() if login.expires_at else None,
        "missing_scopes": list(login.missing),
        "created_at": account.created_at.isoformat(),
        "last_error": account.last_error,
        "warning": login.warning,
    }


def _print_table(rows: "list[tuple[Account, LoginState]]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("account", "name", "status", "authorised", "expires", box=None)
    for account, login in rows:
        cells = account.spotify_user_id, account.display_name or "", account.status
        table.add_row(*map(Text, (*cells, _format_day(account.authorised_at), _format_day(login.expires_at))))
    console().print(table)
    for account, _ in rows:
        if account.own_client_id:
            owner = f" of {account.own_developer}" if account.own_developer else ""
            print_text(f"{account.spotify_user_id} uses the app {account.own_client_id}{owner}.")
    for account, login in rows:
        if login.warning:
            print_text(login.warning)
        elif account.last_error or login.note:
            print_text(f"{account.spotify_user_id}: {account.last_error or login.note}")


def _format_day(moment: datetime | None) -> str:
    from zoneinfo import ZoneInfo

    from spotisync.settings import settings

    return f"{moment.astimezone(ZoneInfo(settings().zone)):%Y-%m-%d}" if moment else ""
