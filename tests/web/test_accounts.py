"""Accounts on the page: logins with every error, disabling, enabling, removing."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from spotisync.cli.login import log_in_with_browser
from spotisync.errors import NeedsLogin
from spotisync.settings import Settings
from spotisync.simulator import Server, start
from spotisync.store.database import Database
from spotisync.sync import Context, accounts
from spotisync.web import create_app
from spotisync.web.pages.redirect_uri import find_redirect_target
from tests.integration.cli.test_login import Browser
from tests.support.store import Store
from tests.support.waiting import wait_until

with warnings.catch_warnings():
    # Starlette recommends httpx2, which behaves the same.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

    Response = Any

HERE = "http://127.0.0.1:8420"
CALLBACK = f"{HERE}/accounts/callback"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def simulator() -> Iterator[Server]:
    with start(
        "tiny", seed=7, accounts=2, client_id="simulated", redirect_uri="http://127.0.0.1/accounts/callback"
    ) as server:
        yield server


@pytest.fixture
def sweeps() -> list[bool]:
    """The calls that asked a worker to answer waiting callers."""
    return []


@pytest.fixture
def client(make_settings: Callable[..., Settings], simulator: Server, sweeps: list[bool]) -> Iterator[TestClient]:
    settings = make_settings(simulator.url, redirect_uri=CALLBACK, timezone="UTC")
    app = create_app(settings, request_sweep=lambda: sweeps.append(True))
    yield TestClient(app, base_url=HERE, follow_redirects=False)
    app.state.context.close()


@pytest.fixture
def rows(database: Database) -> Store:
    return Store(database)


def submit(client: TestClient, action: str, page: str = "/accounts", **fields: str) -> Response:
    """Submit a form like a browser, with its token."""
    shown = client.get(page).text
    csrf = re.findall(r'name="csrf" value="([^"]*)"', shown)
    return client.post(action, data={"csrf": csrf[0] if csrf else "", **fields})


def consent(client: TestClient, click: str = "user01", **fields: str) -> str:
    """Return the address to which Spotify redirects."""
    asked = submit(client, "/accounts/connect", **fields)
    assert asked.status_code == 303, asked.text
    return Browser(click).consent(asked.headers["Location"])


def connect(client: TestClient, click: str = "user01", **fields: str) -> str:
    """Connect an account and return the resulting page."""
    return message(client, client.get(consent(client, click, **fields)))


def message(client: TestClient, response: Response) -> str:
    assert (response.status_code, response.headers["Location"]) == (303, "/accounts"), response.text
    shown = client.get("/accounts").text
    words = re.findall(r'<p class="notice \w+">.*?<span>(.*?)</span>', shown.partition('role="status"')[2], re.DOTALL)
    return unescape(words[0])


def statuses(rows: Store) -> dict[str, str]:
    return dict(rows.sql("SELECT spotify_user_id, status FROM accounts"))


# ---- successes ------------------------------------------------------------------------------------------------------


def test_connects_an_account(client: TestClient, rows: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert "No account yet" in client.get("/accounts").text
    began = submit(client, "/accounts/connect")
    assert began.status_code == 303
    (cookie,) = [each for each in began.headers.get_list("set-cookie") if each.startswith("spotisync_login=")]
    assert all(
        each in cookie.lower() for each in ("httponly", "samesite=lax", "path=/accounts/callback", "max-age=900")
    )
    address = Browser("user02").consent(began.headers["Location"])
    code = address.partition("code=")[2].partition("&")[0]
    assert len(code) > 20
    came = client.get(address)
    assert (came.status_code, came.headers["Location"]) == (303, "/accounts")
    assert came.headers["Cache-Control"] == "no-store"
    page = client.get("/accounts").text
    assert ("is connected." in page, "can now be synced" in page) == (True, True)
    assert "can now be synced" not in client.get("/accounts").text, "the message is shown once"
    assert statuses(rows) == {"user02": "active"}
    assert not [each for each in caplog.messages if code in each and "HTTP Request" not in each]
    assert code not in page + str(came.headers) + came.text


def test_the_same_user_renews_an_ended_login(client: TestClient, rows: Store) -> None:
    connect(client)
    rows.sql("UPDATE accounts SET status = 'needs_login', last_error = 'gone', scope = 'user-library-read'")
    page = client.get("/accounts").text
    for words in ("login required", "missing: playlists, collaborative playlists"):
        assert words in page
    assert "spotisync login" not in page
    assert "logged in as user02, not user01" in connect(client, "user02", only="user01").lower()
    assert statuses(rows) == {"user01": "needs_login"}
    assert connect(client, only="user01").endswith("is connected.")
    assert statuses(rows) == {"user01": "active"}


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_explains_errors_and_how_to_fix_them(client: TestClient, simulator: Server, rows: Store) -> None:
    assert "was denied on Spotify" in connect(client, "cancel")
    other = consent(client)
    assert "no login in progress" in message(client, client.get(re.sub("state=[^&]+", "state=x", other)))
    assert "not started a login" in message(client, client.get(other)), "a login attempt is valid once"
    assert "not started a login" in message(client, client.get("/accounts/callback"))
    late = consent(client)
    simulator.control.settings(clock_offset=700)
    assert "for a few minutes" in message(client, client.get(late))
    simulator.control.settings(clock_offset=0)
    simulator.control.add_fault(path=r"/v1/me/?\?", status=503, times=None)
    assert "Spotify can't be reached" in connect(client)
    assert "No account yet" in message(client, submit(client, "/accounts/connect", only="nobody"))
    assert statuses(rows) == {}


def test_connects_an_account_by_an_app_of_its_own(
    client: TestClient, simulator: Server, rows: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    simulator.control.settings(client_id="", client_secret="its-secret-value")
    app = {"client_id": " own-app ", "client_secret": "its-secret-value", "developer": "bob"}
    assert client.post("/accounts/connect", data=app).status_code == 403, "the form needs its token"
    began = submit(client, "/accounts/connect", **app)
    assert "client_id=own-app&" in began.headers["Location"]
    assert "its-secret-value" not in str(began.headers)
    assert message(client, client.get(Browser("user02").consent(began.headers["Location"]))).endswith("is connected.")
    stored = rows.sql("SELECT client_id, developer, client_secret LIKE '%its-secret%' FROM accounts")
    assert stored == [("own-app", "bob", False)]
    page = client.get("/accounts").text
    assert ("own-app" in page, "its-secret-value" in page) == (True, False)
    assert connect(client, "user02", only="user02").endswith("is connected.")
    assert rows.one("SELECT client_id FROM accounts") == "own-app"
    simulator.control.settings(client_secret="another")
    assert "rejects the app own-app (invalid_client" in connect(client, "user02", only="user02")
    simulator.control.settings(client_secret="")
    assert connect(client, "user02", default_app="yes").endswith("is connected.")
    assert rows.sql("SELECT client_id, client_secret, developer FROM accounts") == [(None, None, None)]
    assert "its-secret-value" not in caplog.text


def test_ignores_an_invalid_cookie(client: TestClient) -> None:
    for value in ("", "x" * 3000, "gAAAAA"):
        answered = client.get("/accounts/callback?code=x&state=y", headers={"Cookie": f"spotisync_login={value}"})
        assert "not started a login" in message(client, answered)


@pytest.mark.parametrize(
    ("redirect_uri", "host", "uri", "other_page", "message"),
    [
        (CALLBACK, "127.0.0.1:8420", CALLBACK, None, None),
        ("http://127.0.0.1/accounts/callback", "127.0.0.1:99", "http://127.0.0.1:99/accounts/callback", None, None),
        ("https://x.org/accounts/callback", "x.org", "https://x.org/accounts/callback", None, None),
        (CALLBACK, "localhost:8420", None, f"{HERE}/accounts", "Connect accounts on that page"),
        (CALLBACK, "127.0.0.1:8421", None, f"{HERE}/accounts", "at another port"),
        ("https://x.org/accounts/callback", "127.0.0.1:8420", None, "https://x.org/accounts", "at another port"),
        ("http://127.0.0.1:8888/cb", "127.0.0.1:8888", None, None, "not this page"),
        ("http://localhost:8420/cb", "localhost:8420", None, None, "localhost, which Spotify no longer accepts"),
        (CALLBACK, "127.0.0.1:x", None, None, ""),
    ],
)
def test_finds_the_address_that_spotify_redirects_to(
    redirect_uri: str, host: str, uri: str | None, other_page: str | None, message: str | None
) -> None:
    target = find_redirect_target(Settings(_env_file=None, redirect_uri=redirect_uri), host)
    assert (target.uri, target.other_page) == (uri, other_page)
    assert (message or "") in (target.message or "")


def test_on_localhost_the_page_links_to_the_redirect_address(client: TestClient) -> None:
    page = client.get("http://localhost:8420/accounts").text
    assert f'href="{HERE}/accounts"' in page
    assert "Connect to Spotify" not in page
    began = client.post("http://localhost:8420/accounts/connect", data={"csrf": ""})
    assert began.status_code in {303, 403}
    assert "authorize" not in began.headers.get("Location", "")


# ---- disabling and removing -----------------------------------------------------------------------------------------


def test_disables_and_enables_an_account(client: TestClient, rows: Store, sweeps: list[bool]) -> None:
    connect(client)
    assert "is disabled" in message(client, submit(client, "/accounts/disable", account="user01"))
    assert statuses(rows) == {"user01": "disabled"}
    assert "is enabled" in message(client, submit(client, "/accounts/enable", account="user01"))
    assert statuses(rows) == {"user01": "active"}
    assert "Unknown account 'x'" in message(client, submit(client, "/accounts/enable", account="x"))
    assert sweeps == [True, True]


def test_removes_an_account_with_its_data_after_a_confirmation(
    client: TestClient, rows: Store, sweeps: list[bool]
) -> None:
    connect(client)
    rows.sql("INSERT INTO tracks (id, name, uri) VALUES ('t', 'T', '')")
    rows.sql("INSERT INTO saved_tracks (account_id, track_id, added_at) SELECT id, 't', now() FROM accounts")
    asked = client.get("/accounts/remove?account=user01")
    assert ("1 saved track<" in asked.text, "deleted permanently" in asked.text) == (True, True)
    page = "/accounts/remove?account=user01"
    unsure = submit(client, "/accounts/remove", page, account="user01")
    assert (unsure.status_code, "Nothing was deleted" in unsure.text) == (400, True)
    assert statuses(rows) == {"user01": "active"}
    assert "is disconnected" in message(client, submit(client, "/accounts/remove", page, account="user01", sure="yes"))
    assert (statuses(rows), rows.one("SELECT count(*) FROM saved_tracks")) == ({}, 0)
    assert sweeps == [True]
    assert "No account yet" in message(client, client.get("/accounts/remove?account=%00x"))


# ---- the command line, while the page has the port ------------------------------------------------------------------


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Serve the page on a free port and yield its URL."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="critical", lifespan="off"))
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, "the server to start")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)


def test_logs_in_on_the_command_line_while_the_page_uses_the_port(
    make_context: Callable[..., Context],
    make_settings: Callable[..., Settings],
    simulator: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = "http://127.0.0.1/accounts/callback"
    context = make_context(simulator, redirect_uri=uri)
    opened: list[str] = []
    with served(make_settings(simulator.url, redirect_uri=uri, timezone="UTC")) as url:

        def click(address: str) -> None:
            opened.append(address)
            accounts.add(context, simulator.refresh_token("user02"), None)

        port = urlsplit(url).port
        assert log_in_with_browser(context, port, None, 60, click).spotify_user_id == "user02"
        assert opened == [f"{url}/accounts"]
        assert f"{url}/accounts" in capsys.readouterr().out
        with pytest.raises(NeedsLogin, match="no account was connected at"):
            log_in_with_browser(context, port, None, 0.01, lambda _: None)


def test_of_very_many_accounts_some_are_shown(client: TestClient, store: Store) -> None:
    store.sql("INSERT INTO accounts (spotify_user_id) SELECT 'account' || n FROM generate_series(1, 50) n")
    store.sql("UPDATE accounts SET status = 'needs_login' WHERE spotify_user_id = 'account44'")
    page = client.get("/accounts").text
    assert (page.count('<section class="card account"'), "account44" in page, "account45" in page) == (30, True, False)
    assert "21 more accounts" in page
    one = client.get("/accounts?account=account45").text
    assert (one.count('<section class="card account"'), "50 more accounts" in one) == (1, True)
