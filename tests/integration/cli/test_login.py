"""Complete logins against the simulator's login page: with a browser, with pasted addresses, and every error."""

import re
import socket
from collections.abc import Callable, Iterator
from html import unescape
from threading import Thread
from typing import Any

import pytest
import requests

from spotisync.cli.login import log_in_by_hand, log_in_with_browser
from spotisync.core.oauth import LOGIN_LIFETIME, REQUESTED
from spotisync.errors import Fatal, Misconfigured, NeedsLogin, Unavailable
from spotisync.simulator import Server, start
from spotisync.store import accounts
from spotisync.store.accounts import Account
from spotisync.store.database import Database
from spotisync.sync import Context
from spotisync.sync import accounts as enrol
from spotisync.sync.tokens import access_token
from tests.support import driver
from tests.support.ports import free_port
from tests.support.store import Store

SECONDS = 30
ANYWHERE = "http://127.0.0.1/accounts/callback"  # the port is chosen when the login starts


@pytest.fixture
def simulator() -> Iterator[Server]:
    with start("tiny", seed=7, accounts=2, client_id="simulated", redirect_uri=ANYWHERE) as server:
        yield server


@pytest.fixture
def context(make_context: Callable[..., Context], simulator: Server) -> Context:
    return make_context(simulator, redirect_uri=ANYWHERE)


class Browser:
    """A user with a browser, who clicks the configured button."""

    def __init__(self, click: str = "user01") -> None:
        self.click = click
        self.pages: list[requests.Response] = []
        self.address = ""

    def open(self, url: str) -> None:
        """Open the address like `webbrowser.open` does with a graphical browser: without waiting for the user."""
        self._thread = Thread(target=self.answer, args=(url,))
        self._thread.start()

    def answer(self, url: str) -> requests.Response:
        self.address = self.consent(url)
        return self.open_page(self.address)

    def consent(self, url: str) -> str:
        """Return the address to which Spotify redirects."""
        asked = self.open_page(url)
        assert asked.status_code == 200, asked.text
        (link,) = re.findall(f'id="{self.click}" href="([^"]+)"', asked.text)
        answered = requests.get(requests.compat.urljoin(url, unescape(link)), timeout=10, allow_redirects=False)
        return answered.headers["Location"]

    def open_page(self, url: str) -> requests.Response:
        self.pages.append(requests.get(url, timeout=10, allow_redirects=False))
        return self.pages[-1]

    def close(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


def login(context: Context, click: str = "user01", only: str | None = None) -> Account:
    browser = Browser(click)
    try:
        return log_in_with_browser(context, None, only, SECONDS, browser.open)
    finally:
        browser.close()


def names(store: Store) -> list[str]:
    return [row[0] for row in store.sql("SELECT spotify_user_id FROM accounts WHERE display_name IS NOT NULL")]


# ---- successes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["hush", None])
def test_logs_in_with_a_browser(
    make_context: Callable[..., Context], simulator: Server, store: Store, secret: str | None
) -> None:
    simulator.control.settings(client_secret="hush")
    context = make_context(simulator, redirect_uri=ANYWHERE, client_secret=secret)
    browser = Browser("user02")
    added = log_in_with_browser(context, None, None, SECONDS, browser.open)
    browser.close()
    assert (added.spotify_user_id, added.status) == ("user02", "active")
    assert added.spotify_account_id == simulator.world.library("user02").account_id
    assert store.one("SELECT scope FROM accounts WHERE id = :id", id=added.id) == REQUESTED
    assert store.one("SELECT now() - authorised_at < '1 minute' FROM accounts WHERE id = :id", id=added.id)
    assert context.spotify.get_profile(access_token(context, added.id))["id"] == "user02"
    last = browser.pages[-1]
    assert (last.status_code, last.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "You can close this page" in last.text
    assert last.headers["Referrer-Policy"] == "no-referrer"


def test_other_requests_of_the_browser_do_not_end_the_login(context: Context) -> None:
    browser = Browser()

    class Busy(Browser):
        def answer(self, url: str) -> requests.Response:
            address = self.consent(url)
            base = address.partition("/accounts")[0]
            host, port = base.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))):  # an idle connection that the browser opened in advance
                assert self.open_page(f"{base}/favicon.ico").status_code == 404
                foreign = self.open_page(re.sub("state=[^&]+", "state=another", address))
                assert (foreign.status_code, "another login attempt" in foreign.text) == (400, True)
                assert self.open_page(f"{base}/accounts/callback?error=access_denied").status_code == 400
                assert requests.post(address, timeout=10).status_code == 501
                return self.open_page(address)

    browser = Busy()
    assert log_in_with_browser(context, None, None, SECONDS, browser.open).spotify_user_id == "user01"
    browser.close()


def test_works_with_a_browser_that_blocks_the_terminal(context: Context) -> None:
    """A text browser: opening it returns when the user has finished."""
    assert log_in_with_browser(context, None, None, SECONDS, Browser().answer).spotify_user_id == "user01"


def test_logs_in_by_pasting_the_address(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(_: str) -> str:
        (url,) = [line for line in capsys.readouterr().out.splitlines() if "/authorize?" in line]
        return f" {Browser('user02').consent(url)} \n"

    assert log_in_by_hand(context, None, None, ask).spotify_user_id == "user02"


def test_pasting_works_with_any_registered_redirect_uri(
    make_context: Callable[..., Context], simulator: Server
) -> None:
    """Without a listener any redirect URI works."""
    simulator.control.settings(redirect_uri="https://example.com/cb")
    context = make_context(simulator, redirect_uri="https://example.com/cb")
    with pytest.raises(Misconfigured, match="--no-browser"):
        log_in_with_browser(context, None, None, SECONDS, Browser().open)
    attempt = enrol.begin_login(context, "https://example.com/cb")
    assert enrol.complete_login(context, attempt, Browser().consent(attempt.url)).spotify_user_id == "user01"


def test_listens_on_the_requested_port(context: Context) -> None:
    browser, port = Browser(), free_port()
    log_in_with_browser(context, port, None, SECONDS, browser.open)
    browser.close()
    assert browser.address.startswith(f"http://127.0.0.1:{port}/accounts/callback?")


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_reports_that_the_user_denied_access(context: Context, store: Store) -> None:
    with pytest.raises(NeedsLogin, match=r"was denied.*spotisync login"):
        login(context, "cancel")
    assert names(store) == []


def test_rejects_the_address_of_another_login(context: Context, store: Store) -> None:
    first, second = (enrol.begin_login(context, "http://127.0.0.1:9/accounts/callback") for _ in range(2))
    address = Browser().consent(first.url)
    for pasted in (address, "", "AQ-just-the-code", first.url.replace(first.state, "")):
        with pytest.raises(NeedsLogin, match=r"belongs to no login in progress.*spotisync login"):
            enrol.complete_login(context, second, pasted)
    assert names(store) == []
    assert enrol.complete_login(context, first, address).spotify_user_id == "user01"
    with pytest.raises(NeedsLogin, match="works once"):
        enrol.complete_login(context, first, address)


def test_reports_that_no_address_was_pasted(context: Context) -> None:
    def ask(_: str) -> str:
        raise EOFError

    with pytest.raises(NeedsLogin, match="no URL was entered"):
        log_in_by_hand(context, None, None, ask)


def test_rejects_an_expired_code(context: Context, simulator: Server) -> None:
    attempt = enrol.begin_login(context, "http://127.0.0.1:9/accounts/callback")
    address = Browser().consent(attempt.url)
    simulator.control.settings(clock_offset=700)
    with pytest.raises(NeedsLogin, match=r"expired.*for a few minutes.*spotisync login"):
        enrol.complete_login(context, attempt, address)


def test_stops_waiting_for_a_reply_that_does_not_arrive(context: Context) -> None:
    """Like when Spotify shows INVALID_CLIENT and does not redirect the browser."""
    with pytest.raises(NeedsLogin, match=r"INVALID_CLIENT.* must list exactly http://127.0.0.1:\d+/accounts/callback"):
        log_in_with_browser(context, None, None, 0.05, lambda _: False)


def test_reports_a_port_in_use(context: Context) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"port {port} \(.*--no-browser"):
            log_in_with_browser(context, port, None, SECONDS, Browser().open)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (
            {"status": 403, "body": "text", "message": "Active premium subscription required"},
            Fatal,
            "subscribe to Premium",
        ),
        ({"status": 403, "message": "User not registered in the Developer Dashboard"}, Fatal, "User Management"),
        ({"status": 503, "times": None}, Unavailable, "Spotify can't be reached"),
        ({"status": 429}, Unavailable, "Spotify can't be reached"),
    ],
)
def test_fails_when_spotify_does_not_return_the_profile(
    context: Context, simulator: Server, store: Store, fault: dict[str, Any], kind: type[Exception], words: str
) -> None:
    simulator.control.add_fault(path=r"/v1/me/?\?", **fault)
    with pytest.raises(kind, match=words):
        login(context)
    assert names(store) == []


# ---- accounts -------------------------------------------------------------------------------------------------------


def test_several_users_log_in(context: Context, store: Store) -> None:
    assert [login(context, who).spotify_user_id for who in ("user01", "user02", "user01")] == [
        "user01",
        "user02",
        "user01",
    ]
    assert sorted(names(store)) == ["user01", "user02"]


def test_rejects_a_login_of_another_account_than_requested(context: Context, store: Store) -> None:
    first = login(context, "user01")
    with pytest.raises(Fatal, match="logged in as user02, not user01"):
        login(context, "user02", only="user01")
    assert names(store) == ["user01"]
    assert login(context, "user01", only="user01").id == first.id
    with pytest.raises(Fatal, match="Unknown account 'nobody'"):
        log_in_with_browser(context, None, "nobody", SECONDS, pytest.fail)


def test_a_new_login_reactivates_the_account_and_keeps_its_data(
    context: Context, simulator: Server, store: Store
) -> None:
    first = login(context)
    store.run(account_id=first.id)
    simulator.control.revoke("user01")
    store.sql("UPDATE accounts SET access_token_expires_at = now(), authorised_at = now() - interval '1 year'")
    with pytest.raises(NeedsLogin, match="spotisync login"):
        access_token(context, first.id)
    again = login(context)
    assert (again.id, again.status, again.last_error) == (first.id, "active", None)
    assert store.one("SELECT now() - authorised_at < '1 minute' FROM accounts WHERE id = :id", id=first.id)
    assert store.one("SELECT count(*) FROM sync_history WHERE account_id = :id", id=first.id) == 1
    assert context.spotify.get_profile(access_token(context, first.id))


def stored(database: Database, user: str, account: str | None, name: str = "somebody") -> int:
    sealed = {"refresh_token": "r", "access_token": "a", "expires_in": 9}
    sealed |= dict.fromkeys(("scope", "authorised_at", "client_id", "client_secret", "developer"))
    profile = {"spotify_user_id": user, "spotify_account_id": account, "display_name": name}
    with database.begin() as connection:
        return accounts.upsert(connection, profile, sealed)


def test_the_account_keeps_its_id_when_the_user_id_changes(database: Database, store: Store) -> None:
    first = stored(database, "old", "A")
    assert stored(database, "new", "A", "renamed") == first
    found = store.sql("SELECT spotify_user_id, display_name FROM accounts WHERE id = :id", id=first)
    assert found == [("new", "renamed")]


def test_stores_the_account_id_of_spotify_and_keeps_it(database: Database, store: Store) -> None:
    first = stored(database, "one", None)
    assert stored(database, "one", "A") == first
    assert stored(database, "one", None) == first
    assert store.one("SELECT spotify_account_id FROM accounts WHERE id = :id", id=first) == "A"
    with database.begin() as connection:
        assert accounts.find_account(connection, "A").id == accounts.find_account(connection, "one").id == first


def test_rejects_a_user_id_that_now_belongs_to_another_account(database: Database, store: Store) -> None:
    stored(database, "one", "A")
    with pytest.raises(Fatal, match=r"now belongs to another account.*accounts remove.*one of one"):
        stored(database, "one", "B")
    stored(database, "two", None)
    with pytest.raises(Fatal, match="one of one, two"):
        stored(database, "two", "A")
    assert store.one("SELECT count(*) FROM accounts WHERE spotify_user_id IN ('one', 'two')") == 2


def test_concurrent_logins_of_one_account_create_one_row(database: Database, store: Store) -> None:
    threads = [Thread(target=stored, args=(database, "one", "A")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(store) == ["one"]


# ---- scopes ---------------------------------------------------------------------------------------------------------


def test_lists_without_a_scope_are_deferred_until_the_next_login(context: Context, store: Store) -> None:
    attempt = enrol.begin_login(context, "http://127.0.0.1:9/accounts/callback")
    narrow = re.sub("scope=[^&]+", "scope=user-library-read", attempt.url)
    account = driver.Account(enrol.complete_login(context, attempt, Browser().consent(narrow)).spotify_user_id)
    summary = driver.full_sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 3)
    reasons = [row.deferred_reason for row in store.sql("SELECT deferred_reason FROM listings ORDER BY list")]
    assert "lacks the scope playlist-read-private, needed to read playlists" in str(reasons)
    assert "lacks the scope user-follow-read, needed to read" in str(reasons)
    assert "lacks the scope user-read-playback-position, needed to read saved episodes" in str(reasons)
    assert store.one("SELECT count(*) FROM account_playlists") == 0, "an unknown scope is not missing"
    login(context)
    assert driver.full_sync(context, account)["items_deferred"] == 0
    assert store.one("SELECT count(*) FROM account_playlists") > 0


# ---- expiry ---------------------------------------------------------------------------------------------------------


def test_reports_the_state_of_each_login(database: Database, store: Store) -> None:
    store.sql("DELETE FROM accounts")
    for user in ("fresh", "old", "over", "narrow"):
        stored(database, user, None)
    store.sql("UPDATE accounts SET authorised_at = now() - interval '160 days 1 hour' WHERE spotify_user_id = 'old'")
    store.sql("UPDATE accounts SET status = 'needs_login', last_error = 'gone' WHERE spotify_user_id = 'over'")
    store.sql("UPDATE accounts SET scope = 'user-library-read' WHERE spotify_user_id = 'narrow'")
    with database.begin() as connection:
        standing = {each.account: each for each in accounts.list_login_states(connection)}
        now = accounts.list_accounts(connection)[0].authorised_at
    assert standing["fresh"].warning is None
    assert now
    assert standing["fresh"].expires_at == now + LOGIN_LIFETIME
    assert "in 19 days" in (standing["old"].warning or "")
    assert "over has to log in again (gone)" in (standing["over"].warning or "")
    assert "lacks playlist-read-private (playlists)" in (standing["narrow"].warning or "")


def test_keeps_the_granted_scope_and_learns_it_from_a_refresh(
    context: Context, simulator: Server, store: Store
) -> None:
    simulator.control.settings(refresh_reply="rotate")
    account = enrol.add(context, simulator.refresh_token(), None)
    granted = store.one("SELECT scope FROM accounts WHERE id = :id", id=account.id)
    assert "user-top-read" in granted, "the whole consent, not only the requested scopes"
    store.sql("UPDATE accounts SET scope = NULL, access_token_expires_at = now()")
    access_token(context, account.id)
    assert store.one("SELECT scope FROM accounts WHERE id = :id", id=account.id) == granted
