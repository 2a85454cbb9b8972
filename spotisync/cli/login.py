"""`spotisync login`: authorise a Spotify account."""

import time
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.context import open_context
from spotisync.cli.exit_codes import INTERRUPTED
from spotisync.cli.output import console, print_text
from spotisync.cli.own_app import ClientId, DefaultApp, Developer, SecretStdin, choose_app
from spotisync.core import oauth
from spotisync.errors import Misconfigured, NeedsLogin

if TYPE_CHECKING:
    from spotisync.cli.loopback import LoopbackServer
    from spotisync.spotify import LoginAttempt
    from spotisync.store.accounts import Account
    from spotisync.sync import Context
    from spotisync.sync.accounts import AppChoice

BROWSER_TIMEOUT = 300
POLL_INTERVAL = 0.5


NoBrowser = Annotated[
    bool,
    typer.Option("--no-browser", help="Print the URL and ask for the one that Spotify redirects to. For use over SSH."),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, help="Listen for Spotify's redirect on this port instead of that in SPOTIPY_REDIRECT_URI."
    ),
]
Only = Annotated[str | None, typer.Option("--account", help="Only log in this existing account (a Spotify user ID).")]
Timeout = Annotated[int, typer.Option(min=1, help="Seconds to wait for the browser.")]


def login(
    *,
    no_browser: NoBrowser = False,
    port: Port = None,
    account: Only = None,
    timeout: Timeout = BROWSER_TIMEOUT,
    client_id: ClientId = None,
    client_secret_stdin: SecretStdin = False,
    developer: Developer = None,
    default_app: DefaultApp = False,
) -> None:
    """Authorise a Spotify account in the browser.

    The account can be new, or one whose login has expired. spotisync requests
    read access only. Logging in again keeps all synced data.

    With --client-id, the account gets an app of its own, with quotas and rate
    limits of its own; later logins with --account keep it.
    """
    from spotisync.sync import accounts

    with open_context() as context:
        # Before the user is asked anything: this fails if the database can't be reached.
        known = accounts.list_accounts(context)
        choice = choose_app(context, client_id, developer, secret_stdin=client_secret_stdin, default_app=default_app)
        try:
            added = (
                log_in_by_hand(context, port, account, choice=choice)
                if no_browser
                else log_in_with_browser(context, port, account, timeout, choice=choice)
            )
        except KeyboardInterrupt:
            print_text("Login cancelled; nothing was changed.", stderr=True)
            raise typer.Exit(INTERRUPTED) from None
    again = added.id in {each.id for each in known}
    print_text(
        f"{added.spotify_user_id} is logged in{' again' if again else ''}. Sync the library: spotisync sync full --wait"
    )


def log_in_with_browser(
    context: "Context",
    port: int | None,
    only: str | None,
    seconds: float,
    open_browser: Callable[[str], object] = webbrowser.open,
    choice: "AppChoice | None" = None,
) -> "Account":
    """Open Spotify's consent page, and wait for the redirect to this machine."""
    from spotisync.cli.loopback import LoopbackServer, PageHoldsPort
    from spotisync.sync import accounts

    redirect = oauth.parse_redirect_uri(context.settings.redirect_uri)
    if not redirect.is_loopback:
        raise Misconfigured(
            f"SPOTIPY_REDIRECT_URI ({redirect.with_port()}) is not on this machine; use: {oauth.LOGIN} --no-browser"
        )
    try:
        with LoopbackServer(redirect, port) as server:
            attempt = accounts.begin_login(context, redirect.with_port(server.port), only, choice)
            return _log_in_on_loopback(context, server, attempt, only, seconds, open_browser)
    except PageHoldsPort as page:
        if choice:
            raise Misconfigured(_explain_page(page.url)) from None
        return _log_in_on_page(context, page.url, only, seconds, open_browser)


def _log_in_on_loopback(
    context: "Context",
    server: "LoopbackServer",
    attempt: "LoginAttempt",
    only: str | None,
    seconds: float,
    open_browser: Callable[[str], object],
) -> "Account":
    from spotisync.sync import accounts

    server.state = attempt.state
    print_text("Answer Spotify in your browser. If no browser opens, open this URL on this machine:\n")
    _print_url(attempt.url)
    print_text(f"No browser on this machine? Press Ctrl-C, then: {oauth.LOGIN} --no-browser")
    open_browser(attempt.url)
    url = server.wait_for_redirect(seconds)
    if url is None:
        raise NeedsLogin(_explain_timeout(attempt, seconds))
    return accounts.complete_login(context, attempt, url, only)


def _log_in_on_page(
    context: "Context", url: str, only: str | None, seconds: float, open_browser: Callable[[str], object]
) -> "Account":
    """Let the web page, which listens on the port, handle the redirect; poll the database for the result."""
    from spotisync.sync import accounts

    before = {each.id: each.authorised_at for each in accounts.list_accounts(context)}
    print_text("The spotisync web page already listens on the redirect port. Connect the account there:\n")
    _print_url(url)
    print_text(f"Waiting for the login. No browser on this machine? Press Ctrl-C, then: {oauth.LOGIN} --no-browser")
    open_browser(url)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for each in accounts.list_accounts(context):
            if each.authorised_at != before.get(each.id) and only in {None, each.spotify_user_id}:
                return each
        time.sleep(POLL_INTERVAL)
    raise NeedsLogin(f"no account was connected at {url} within {seconds:.0f} seconds; to try again: {oauth.LOGIN}")


def log_in_by_hand(
    context: "Context",
    port: int | None,
    only: str | None,
    ask: Callable[[str], str] = input,
    choice: "AppChoice | None" = None,
) -> "Account":
    """Print the URL for any browser, and read the URL that it was redirected to."""
    from spotisync.sync import accounts

    redirect = oauth.parse_redirect_uri(context.settings.redirect_uri)
    attempt = accounts.begin_login(context, redirect.with_port(port), only, choice)
    print_text("Open this URL in any browser, and answer Spotify there:\n")
    _print_url(attempt.url)
    print_text("The browser is then redirected to a page that can't be loaded. Copy the full URL of that page.")
    try:
        url = ask("Paste it here: ")
    except EOFError:
        raise NeedsLogin(f"no URL was entered; to try again: {oauth.LOGIN} --no-browser") from None
    return accounts.complete_login(context, attempt, url, only)


def _print_url(url: str) -> None:
    # Not wrapped, so that it can be copied from a narrow terminal.
    console().print(f"{url}\n", markup=False, soft_wrap=True)


def _explain_page(url: str) -> str:
    return (
        f"the spotisync web page already listens on the redirect port. Enter the app there: {url}; or: "
        f"{oauth.LOGIN} --no-browser with the same options"
    )


def _explain_timeout(attempt: "LoginAttempt", seconds: float) -> str:
    whose = f"{attempt.app.client_id} must be your" if attempt.app else "SPOTIPY_CLIENT_ID must be the"
    return (
        f"no redirect from Spotify within {seconds:.0f} seconds. If the browser shows INVALID_CLIENT, "
        f"{oauth.unregistered_redirect_message(attempt.redirect_uri)}, and {whose} app's client ID. "
        f"Then: {oauth.LOGIN}"
    )
