"""`spotisync login`: a person lets spotisync read their library."""

import time
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.endings import INTERRUPTED
from spotisync.cli.opened import use_cases
from spotisync.cli.output import console, say
from spotisync.core import consent
from spotisync.errors import Misconfigured, NeedsLogin

if TYPE_CHECKING:
    from spotisync.cli.loopback import Loopback
    from spotisync.store.accounts import Account
    from spotisync.sync import Sync

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
    from spotisync.sync import enrol

    with use_cases() as sync:
        known = enrol.every(sync)  # whether there is a database is to be known before a person is asked anything
        try:
            added = by_hand(sync, port, account) if no_browser else in_browser(sync, port, account, timeout)
        except KeyboardInterrupt:
            say("Not logged in; nothing is changed.", stderr=True)
            raise typer.Exit(INTERRUPTED) from None
    again = added.id in {each.id for each in known}
    say(
        f"{added.spotify_user_id} is logged in{' again' if again else ''}. Sync the library: spotisync sync full --wait"
    )


def in_browser(
    sync: "Sync",
    port: int | None,
    only: str | None,
    seconds: float,
    open_: Callable[[str], object] = webbrowser.open,
) -> "Account":
    """Open Spotify's page and wait for what comes back to this machine."""
    from spotisync.cli.loopback import Loopback, PageIsThere

    redirect = consent.redirect(sync.settings.redirect_uri)
    if not redirect.is_loopback:
        raise Misconfigured(
            f"Spotify would answer to {redirect.uri()}, which is not this machine: {consent.LOGIN} --no-browser"
        )
    try:
        with Loopback(redirect, port) as server:
            return _answered(sync, server, redirect.uri(server.port), only, seconds, open_)
    except PageIsThere as there:
        return _on_page(sync, there.url, only, seconds, open_)


def _answered(
    sync: "Sync",
    server: "Loopback",
    redirect_uri: str,
    only: str | None,
    seconds: float,
    open_: Callable[[str], object],
) -> "Account":
    from spotisync.sync import enrol

    attempt = enrol.begin(sync, redirect_uri, only)
    server.state = attempt.state
    say("Spotify asks you in your browser. If none opens, open this address on this machine:\n")
    _show_address(attempt.url)
    say(f"No browser on this machine? Ctrl-C, then: {consent.LOGIN} --no-browser")
    open_(attempt.url)
    url = server.answer(seconds)
    if url is None:
        raise NeedsLogin(_no_answer(attempt.redirect_uri, seconds))
    return enrol.complete(sync, attempt, url, only)


def _on_page(sync: "Sync", url: str, only: str | None, seconds: float, open_: Callable[[str], object]) -> "Account":
    """The page has the port, and takes Spotify's answer; what it has stored is seen in the database."""
    from spotisync.sync import enrol

    before = {each.id: each.authorised_at for each in enrol.every(sync)}
    say("spotisync's own page has the port that Spotify answers to. Connect the account there:\n")
    _show_address(url)
    say(f"This waits until it is done. Without a browser: Ctrl-C, then: {consent.LOGIN} --no-browser")
    open_(url)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for each in enrol.every(sync):
            if each.authorised_at != before.get(each.id) and only in {None, each.spotify_user_id}:
                return each
        time.sleep(LOOK_SECONDS)
    raise NeedsLogin(f"no account was connected at {url} within {seconds:.0f} seconds; to try again: {consent.LOGIN}")


def by_hand(sync: "Sync", port: int | None, only: str | None, ask: Callable[[str], str] = input) -> "Account":
    """The person takes both addresses across: to any browser, and back."""
    from spotisync.sync import enrol

    attempt = enrol.begin(sync, consent.redirect(sync.settings.redirect_uri).uri(port), only)
    say("Open this address in any browser, and answer Spotify there:\n")
    _show_address(attempt.url)
    say("It then leads to a page that can't be shown; that is all right. Copy that page's whole address.")
    try:
        url = ask("Paste it here: ")
    except EOFError:
        raise NeedsLogin(f"no address was pasted; to try again: {consent.LOGIN} --no-browser") from None
    return enrol.complete(sync, attempt, url, only)


def _show_address(url: str) -> None:
    # In one piece however narrow the terminal is, or it can't be copied.
    console().print(f"{url}\n", markup=False, soft_wrap=True)


def _no_answer(redirect_uri: str, seconds: float) -> str:
    return (
        f"no answer came from the browser within {seconds:.0f} seconds. If it said INVALID_CLIENT: "
        f"{consent.app_must_list(redirect_uri)}, and SPOTIPY_CLIENT_ID must be its client id. Then: {consent.LOGIN}"
    )
