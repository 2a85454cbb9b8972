"""`spotisync login`: a person lets spotisync read their library."""

import time
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.exit_codes import INTERRUPTED
from spotisync.cli.output import console, print_text
from spotisync.cli.resources import open_context
from spotisync.core import oauth
from spotisync.errors import Misconfigured, NeedsLogin

if TYPE_CHECKING:
    from spotisync.cli.loopback import LoopbackServer
    from spotisync.store.accounts import Account
    from spotisync.sync import Context

WAIT_SECONDS = 300
LOOK_SECONDS = 0.5


def login(
    *,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address; paste the one that Spotify leads to. For ssh.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Wait for Spotify's answer there, in place of SPOTIPY_REDIRECT_URI's port."
        ),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Let only this one in, which is here already: its Spotify user id.")
    ] = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait for the browser.")] = WAIT_SECONDS,
) -> None:
    """Authorise a Spotify account, in the browser: a new one, or one whose login has ended.

    Asks for reading alone. Logging in again changes nothing of what was synced.
    """
    from spotisync.sync import accounts

    with open_context() as context:
        known = accounts.list_accounts(
            context
        )  # whether there is a database is to be known before a person is asked anything
        try:
            added = (
                log_in_by_hand(context, port, account)
                if no_browser
                else log_in_with_browser(context, port, account, timeout)
            )
        except KeyboardInterrupt:
            print_text("Not logged in; nothing is changed.", stderr=True)
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
    open_: Callable[[str], object] = webbrowser.open,
) -> "Account":
    """Open Spotify's page and wait for what comes back to this machine."""
    from spotisync.cli.loopback import LoopbackServer, PageHoldsPort

    redirect = oauth.parse_redirect_uri(context.settings.redirect_uri)
    if not redirect.is_loopback:
        raise Misconfigured(
            f"Spotify would answer to {redirect.with_port()}, which is not this machine: {oauth.LOGIN} --no-browser"
        )
    try:
        with LoopbackServer(redirect, port) as server:
            return _answered(context, server, redirect.with_port(server.port), only, seconds, open_)
    except PageHoldsPort as there:
        return _on_page(context, there.url, only, seconds, open_)


def _answered(
    context: "Context",
    server: "LoopbackServer",
    redirect_uri: str,
    only: str | None,
    seconds: float,
    open_: Callable[[str], object],
) -> "Account":
    from spotisync.sync import accounts

    attempt = accounts.begin_login(context, redirect_uri, only)
    server.state = attempt.state
    print_text("Spotify asks you in your browser. If none opens, open this address on this machine:\n")
    _show_address(attempt.url)
    print_text(f"No browser on this machine? Ctrl-C, then: {oauth.LOGIN} --no-browser")
    open_(attempt.url)
    url = server.wait_for_redirect(seconds)
    if url is None:
        raise NeedsLogin(_no_answer(attempt.redirect_uri, seconds))
    return accounts.complete_login(context, attempt, url, only)


def _on_page(
    context: "Context", url: str, only: str | None, seconds: float, open_: Callable[[str], object]
) -> "Account":
    """The page has the port, and takes Spotify's answer; what it has stored is seen in the database."""
    from spotisync.sync import accounts

    before = {each.id: each.authorised_at for each in accounts.list_accounts(context)}
    print_text("spotisync's own page has the port that Spotify answers to. Connect the account there:\n")
    _show_address(url)
    print_text(f"This waits until it is done. Without a browser: Ctrl-C, then: {oauth.LOGIN} --no-browser")
    open_(url)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for each in accounts.list_accounts(context):
            if each.authorised_at != before.get(each.id) and only in {None, each.spotify_user_id}:
                return each
        time.sleep(LOOK_SECONDS)
    raise NeedsLogin(f"no account was connected at {url} within {seconds:.0f} seconds; to try again: {oauth.LOGIN}")


def log_in_by_hand(
    context: "Context", port: int | None, only: str | None, ask: Callable[[str], str] = input
) -> "Account":
    """The person takes both addresses across: to any browser, and back."""
    from spotisync.sync import accounts

    attempt = accounts.begin_login(
        context, oauth.parse_redirect_uri(context.settings.redirect_uri).with_port(port), only
    )
    print_text("Open this address in any browser, and answer Spotify there:\n")
    _show_address(attempt.url)
    print_text("It then leads to a page that can't be shown; that is all right. Copy that page's whole address.")
    try:
        url = ask("Paste it here: ")
    except EOFError:
        raise NeedsLogin(f"no address was pasted; to try again: {oauth.LOGIN} --no-browser") from None
    return accounts.complete_login(context, attempt, url, only)


def _show_address(url: str) -> None:
    # In one piece however narrow the terminal is, or it can't be copied.
    console().print(f"{url}\n", markup=False, soft_wrap=True)


def _no_answer(redirect_uri: str, seconds: float) -> str:
    return (
        f"no answer came from the browser within {seconds:.0f} seconds. If it said INVALID_CLIENT: "
        f"{oauth.unregistered_redirect_message(redirect_uri)}, and SPOTIPY_CLIENT_ID must be its client id. Then: {oauth.LOGIN}"
    )
