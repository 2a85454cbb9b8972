"""HTTP replies become the right errors, tested against the simulator; no error contains a token."""

import io
import json
import logging
import math
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from spotisync import logs
from spotisync.core.oauth import REQUESTED
from spotisync.core.requests import Request
from spotisync.errors import (
    AppBlocked,
    AppRejected,
    Fatal,
    NeedsLogin,
    Refused,
    SpotisyncError,
    Transient,
    UserBlocked,
)
from spotisync.settings import Settings
from spotisync.simulator import Server, start
from spotisync.spotify import AccountsClient, LoginAttempt, SpotifyClient, TokenGrant
from spotisync.spotify.http import (
    Throttled,
    Unauthorised,
    check_api,
    find_retry_after,
    read_environment_once,
    translate_connection_errors,
)
from spotisync.spotify.login import pkce_challenge

SAVED = Request("saved_tracks")
BODIES = ["json", "text", "html", "empty", "list", "string", "error_string", "error_null", "quota"]


@pytest.fixture(scope="module")
def spotify() -> Iterator[Server]:
    with start("tiny") as server:
        yield server


@pytest.fixture
def fault(spotify: Server) -> Iterator[Callable[..., int]]:
    yield spotify.control.add_fault
    spotify.control.clear_faults()


@pytest.fixture
def client(spotify: Server) -> SpotifyClient:
    return SpotifyClient(spotify.api_url, 10)


@pytest.fixture
def ask(spotify: Server, client: SpotifyClient) -> Callable[..., Any]:
    token = spotify.access_token()
    return lambda request=SAVED: client.get(request, token)


def error_of(ask: Callable[..., Any], kind: type[SpotisyncError]) -> Any:
    with pytest.raises(SpotisyncError) as raised:
        ask()
    assert type(raised.value) is kind, f"{raised.value!r} should be {kind.__name__}"
    return raised.value


# ---- successes ------------------------------------------------------------------------------------------------------


def test_answers_each_kind_of_request(spotify: Server, ask: Callable[..., Any]) -> None:
    truth = spotify.world.truth()
    readable = next(iter(truth["playlist_items"]))
    artists = sorted(truth["artists"])[:3]
    albums = sorted(truth["albums"])[:3]
    assert ask()["total"] == truth["totals"]["saved_tracks"]
    assert ask(Request("playlists"))["total"] == truth["totals"]["playlists"]
    assert ask(Request("playlist_items", playlist_id=readable))["total"] == len(truth["playlist_items"][readable])
    assert len(ask(Request("artists", ids=tuple(artists)))["artists"]) == 3
    assert len(ask(Request("albums", ids=tuple(albums)))["albums"]) == 3
    artist = next(id_ for id_, row in truth["artists"].items() if not row["gone"])
    album = next(id_ for id_, row in truth["albums"].items() if not row["gone"])
    assert ask(Request("artist", ids=(artist,)))["id"] == artist
    assert ask(Request("album", ids=(album,)))["id"] == album


def test_requests_fifty_rows_from_the_offset(spotify: Server, ask: Callable[..., Any]) -> None:
    spotify.control.reset_log()
    ask(Request("saved_tracks", offset=49))
    assert spotify.control.requests()[-1]["query"] == "limit=50&offset=49"


def test_requests_episodes_as_episodes(spotify: Server, ask: Callable[..., Any]) -> None:
    spotify.control.reset_log()
    ask(Request("playlist_items", playlist_id=next(iter(spotify.world.truth()["playlist_items"]))))
    assert "episode" in spotify.control.requests()[-1]["query"]


def test_the_profile_names_the_owner_of_the_token(spotify: Server, client: SpotifyClient) -> None:
    assert client.get_profile(spotify.access_token())["id"] == spotify.world.first.id


@pytest.mark.parametrize("body", [[], "me", {}, {"id": None}, {"id": 5}, {"id": "\0"}])
def test_a_profile_without_an_id_is_transient(body: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(SpotifyClient, "_call", lambda *_: body)
    client = SpotifyClient("http://127.0.0.1", 10)
    error_of(lambda: client.get_profile("BQ"), Transient)


def test_a_profile_has_only_text_that_postgres_accepts(monkeypatch: Any) -> None:
    body = {"id": "me", "display_name": "M\0e\ud800", "account_id": 5, "country": {}}
    monkeypatch.setattr(SpotifyClient, "_call", lambda *_: body)
    profile = {"id": "me", "display_name": "Me?", "account_id": None, "country": None}
    assert SpotifyClient("http://127.0.0.1", 10).get_profile("BQ") == profile


def test_each_thread_has_its_own_session_and_token() -> None:
    with start("tiny", accounts=2) as two, ThreadPoolExecutor(8) as threads:
        client = SpotifyClient(two.api_url, 10)
        tokens = {id_: two.access_token(id_) for id_ in two.world.accounts}
        asked = list(tokens) * 20
        assert list(threads.map(lambda id_: client.get_profile(tokens[id_])["id"], asked)) == asked


def test_requests_go_through_the_proxy_of_the_environment(spotify: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    token = spotify.access_token()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    error_of(lambda: SpotifyClient(spotify.api_url, 1).get(SAVED, token), Transient)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert SpotifyClient(spotify.api_url, 1).get(SAVED, token)["items"]


def test_certificates_of_the_environment_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    session = requests.Session()
    read_environment_once(session, "https://api.spotify.com/v1/")
    assert session.verify == str(tmp_path / "ca.pem")


def test_a_netrc_does_not_replace_the_token(spotify: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login me password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert SpotifyClient(spotify.api_url, 10).get(SAVED, spotify.access_token())["items"]


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [({"retry_after": 7}, "7"), ({"retry_after": "soon"}, "soon"), ({}, None), ({"retry_after": 86236}, "86236")],
)
def test_a_429_raises_throttled_with_its_header(fault: Any, ask: Any, given: dict[str, Any], said: str | None) -> None:
    fault(status=429, **given)
    error = error_of(ask, Throttled)
    assert (error.retry_after, error.quota) == (said, False)


def test_retry_after_can_be_a_date(fault: Any, ask: Any) -> None:
    fault(status=429, retry_after=30, retry_date=True)
    assert error_of(ask, Throttled).retry_after in {"29", "30"}


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("Mon, 03 Feb 2020 10:00:00 GMT", "42"),
        ("now", "Mon, 03 Feb 2020 10:00:42 GMT"),
        (f"Mon, 03 Feb 2020 10:00:00 +{10**20}", "Mon, 03 Feb 2020 10:00:42 GMT"),
    ],
)
def test_a_date_is_read_by_the_clock_of_spotify(sent: str, seconds: str) -> None:
    response = requests.Response()
    response.headers.update({"Date": sent, "Retry-After": "Mon, 03 Feb 2020 10:00:42 GMT"})
    assert find_retry_after(response) == seconds


@pytest.mark.parametrize("body", BODIES)
def test_a_429_raises_throttled_and_detects_a_quota_in_its_body(fault: Any, ask: Any, body: str) -> None:
    fault(status=429, body=body, retry_after=7)
    error = error_of(ask, Throttled)
    assert (error.retry_after, error.quota) == ("7", body == "quota")


@pytest.mark.parametrize("body", BODIES)
def test_a_401_raises_unauthorised_for_any_body(fault: Any, ask: Any, body: str) -> None:
    fault(status=401, body=body)
    error_of(ask, Unauthorised)


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize("body", BODIES)
def test_other_refusals_keep_their_status_for_any_body(fault: Any, ask: Any, status: int, body: str) -> None:
    fault(status=status, body=body)
    error = error_of(ask, Refused)
    assert error.status == status
    assert error.message


@pytest.mark.parametrize("body", ["json", "text", "list", "string", "error_string"])
def test_a_refusal_contains_the_message_of_spotify(fault: Any, ask: Any, body: str) -> None:
    fault(status=403, body=body, message="Not on a Monday")
    assert "Not on a Monday" in str(error_of(ask, Refused))


# All observed kinds of 403, in every form: three of them concern more than the requested object.
FORBIDDEN = {
    "Active premium subscription required for the owner of the app. When the subscription status changes, it can take "
    "a few hours before requests are allowed again.": AppBlocked,
    "User not registered in the Developer Dashboard": UserBlocked,
    "Check settings on developer.spotify.com/dashboard, the user may not be registered.": UserBlocked,
    "The user is not registered for this application.": UserBlocked,
    "Insufficient client scope": NeedsLogin,
    "Forbidden": Refused,
}


@pytest.mark.parametrize("message", FORBIDDEN)
@pytest.mark.parametrize("body", ["json", "text", "string"])
def test_a_403_is_classified_by_its_message(fault: Any, ask: Any, body: str, message: str) -> None:
    fault(status=403, body=body, message=message)
    error = str(error_of(ask, FORBIDDEN[message]))
    assert message[:60] in error or "lacks the scope" in error


def test_the_messages_of_a_403_mean_nothing_with_another_status(fault: Any, ask: Any) -> None:
    fault(status=404, message="Active premium subscription required")
    assert error_of(ask, Refused).status == 404


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("body", BODIES)
def test_a_5xx_is_transient_for_any_body(fault: Any, ask: Any, status: int, body: str) -> None:
    fault(status=status, body=body)
    assert str(status) in str(error_of(ask, Transient))


@pytest.mark.parametrize(("charset", "body"), [("idna", "<h1>\xff"), ("punycode", "\xff"), ("utf-8", "[" * 100_000)])
def test_a_429_with_a_body_that_can_not_be_read_is_a_429(charset: str, body: str) -> None:
    response = requests.Response()
    response.status_code, response.encoding, response._content = 429, charset, body.encode()
    response.headers["Retry-After"] = "7"
    with pytest.raises(Throttled) as raised:
        check_api(response)
    assert (raised.value.retry_after, raised.value.quota) == ("7", False)


@pytest.mark.parametrize("error", [ValueError("Invalid IPv6 URL"), UnicodeError(), RecursionError()])
def test_what_requests_fails_on_is_transient(error: Exception) -> None:
    with pytest.raises(Transient, match=type(error).__name__), translate_connection_errors():
        raise error


@pytest.mark.parametrize("kind", ["reset", "cut", "garbage", "null", "empty"])
def test_a_broken_reply_is_transient_and_the_next_one_is_parsed(fault: Any, ask: Any, kind: str) -> None:
    fault(kind=kind)
    error_of(ask, Transient)
    assert ask()["items"]


def test_a_reply_that_times_out_is_transient(spotify: Server, fault: Any) -> None:
    fault(kind="hang", seconds=0.4)
    token = spotify.access_token()
    error_of(lambda: SpotifyClient(spotify.api_url, 0.2).get(SAVED, token), Transient)


def redirect(location: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response.url = 302, "https://api.spotify.com/v1/me/"
    response.headers["Location"] = location
    return response


@pytest.mark.parametrize("location", ["https://portal.example/x", "//portal.example", "http://api.spotify.com/v1/me/"])
def test_a_redirect_to_another_host_is_transient(location: str) -> None:
    assert "another host" in str(error_of(lambda: check_api(redirect(location)), Transient))


def test_a_redirect_to_the_same_host_is_followed() -> None:
    check_api(redirect("/v1/me"))


def test_an_unreachable_server_is_transient() -> None:
    error_of(lambda: SpotifyClient("http://127.0.0.1:9/v1", 1).get(SAVED, "BQ"), Transient)


def test_a_long_retry_after_is_reported_at_once_without_a_retry(spotify: Server, fault: Any, ask: Any) -> None:
    fault(status=429, retry_after=86400, times=None)
    spotify.control.reset_log()
    error_of(ask, Throttled)
    assert len(spotify.control.requests()) == 1


def test_a_503_is_not_retried(spotify: Server, fault: Any, ask: Any) -> None:
    fault(status=503, times=None)
    spotify.control.reset_log()
    error_of(ask, Transient)
    assert len(spotify.control.requests()) == 1


def test_an_id_that_spotipy_does_not_send_raises_refused(ask: Any) -> None:
    error_of(lambda: ask(Request("artists", ids=("spotify:local:a",))), Refused)


def test_long_error_messages_are_truncated(fault: Any, ask: Any) -> None:
    fault(status=500, body="html", message="x" * 5_000)
    assert len(str(error_of(ask, Transient))) < 300


def test_no_error_and_no_log_line_contains_a_token(spotify: Server, fault: Any, ask: Any) -> None:
    token, refresh_token = spotify.access_token(), spotify.refresh_token()
    client, login = SpotifyClient(spotify.api_url, 0.2), AccountsClient(spotify.url, "me", "sw0rdfish")
    log = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    try:
        with redirect_stderr(log):
            logs.configure(Settings(_env_file=None, log_level="DEBUG", log_format="text", data_dir=Path("/nowhere")))
        rules: list[dict[str, Any]] = [
            *({"status": status, "body": body} for status in (400, 401, 403, 429, 500) for body in BODIES),
            *({"kind": kind, "seconds": 0.4} for kind in ("reset", "cut", "garbage", "null", "empty", "hang")),
        ]
        for rule in rules:
            for call in (lambda: client.get(SAVED, token), lambda: login.refresh(refresh_token, timeout=0.2)):
                fault(**rule)
                try:
                    call()
                except SpotisyncError as error:
                    logging.getLogger("spotisync").exception("failed")
                    log.write("".join(traceback.format_exception(error, chain=True)) + repr(error))
    finally:
        root.handlers, root.level = handlers, level
    lines = log.getvalue()
    assert "Spotify answered 500" in lines
    for secret in (token, refresh_token, "sw0rdfish"):
        assert secret not in lines


# ---- logins ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def login(spotify: Server) -> AccountsClient:
    return AccountsClient(spotify.url, "me", "hush")


def test_a_refresh_returns_a_valid_access_token(spotify: Server, login: AccountsClient, client: SpotifyClient) -> None:
    grant = login.refresh(spotify.refresh_token())
    assert grant.expires_in == 3600
    assert grant.refresh_token is None
    assert client.get_profile(grant.access_token)["id"] == spotify.world.first.id


def test_a_refresh_without_a_secret_uses_pkce(spotify: Server, client: SpotifyClient) -> None:
    grant = AccountsClient(spotify.url, "me", None).refresh(spotify.refresh_token())
    assert client.get_profile(grant.access_token)


@pytest.mark.parametrize(("reply", "rotated"), [("none", False), ("same", False), ("rotate", True)])
def test_returns_a_refresh_token_only_if_it_was_rotated(reply: str, rotated: bool) -> None:
    with start("tiny", refresh_reply=reply) as server:
        old = server.refresh_token()
        grant = AccountsClient(server.url, "me", "hush").refresh(old)
        assert (grant.refresh_token is not None) is rotated
        assert grant.refresh_token == (server.refresh_token() if rotated else None)


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_an_ended_refresh_token_needs_a_login(how: str) -> None:
    with start("tiny") as server:
        token = server.refresh_token()
        server.control.revoke(how=how)
        with pytest.raises(NeedsLogin, match=how):
            AccountsClient(server.url, "me", "hush").refresh(token)


def test_a_wrong_client_is_fatal_and_names_the_variables() -> None:
    with start("tiny", client_id="me", client_secret="hush") as server:
        for client_id, secret in (("you", "hush"), ("me", "wrong"), ("you", None)):
            with pytest.raises(Fatal, match="SPOTIPY_CLIENT_ID") as raised:
                AccountsClient(server.url, client_id, secret).refresh(server.refresh_token())
            assert not isinstance(raised.value, NeedsLogin)


@pytest.mark.parametrize(
    "rule",
    [{"status": status} for status in (404, 500, 503)]
    + [{"status": 503, "body": body} for body in ("html", "empty", "list", "string", "error_string", "error_null")]
    + [{"kind": kind} for kind in ("reset", "cut", "garbage", "null", "empty")],
)
def test_a_failing_login_service_is_transient_and_ends_no_login(
    spotify: Server, login: AccountsClient, fault: Any, rule: dict[str, Any]
) -> None:
    fault(path="/api/token", **rule)
    error_of(lambda: login.refresh(spotify.refresh_token()), Transient)
    assert login.refresh(spotify.refresh_token())


def test_a_login_service_that_limits_its_rate_says_how_long(spotify: Server, login: AccountsClient, fault: Any) -> None:
    fault(path="/api/token", status=429, retry_after=600)
    throttled = error_of(lambda: login.refresh(spotify.refresh_token()), Throttled)
    assert throttled.retry_after == "600"
    fault(path="/api/token", status=429, retry_after=30)
    error_of(lambda: login.exchange(login.begin("http://127.0.0.1/cb"), "AQ"), Throttled)


def test_a_login_service_that_times_out_is_transient(spotify: Server, login: AccountsClient, fault: Any) -> None:
    fault(path="/api/token", kind="hang", seconds=0.4)
    error_of(lambda: login.refresh(spotify.refresh_token(), timeout=0.2), Transient)


# ---- logging in -----------------------------------------------------------------------------------------------------


def agree(attempt: LoginAttempt, user: str = "user01", **changed: str) -> dict[str, str]:
    """Agree on the login page; return the parameters of the reply."""
    query = dict(parse_qsl(urlsplit(attempt.url).query)) | {"as": user} | changed
    page = attempt.url.partition("?")[0]
    reply = requests.get(page, params=query, allow_redirects=False, timeout=10)
    assert reply.status_code == 302, reply.text
    return dict(parse_qsl(urlsplit(reply.headers["Location"]).query))


def test_the_login_address_requests_minimal_scopes_and_the_dialog(login: AccountsClient) -> None:
    attempt = login.begin("http://127.0.0.1/cb")
    asked = dict(parse_qsl(urlsplit(attempt.url).query))
    assert asked.pop("state") == attempt.state
    assert asked == {
        "client_id": "me",
        "response_type": "code",
        "redirect_uri": "http://127.0.0.1/cb",
        "scope": "user-library-read playlist-read-private playlist-read-collaborative user-follow-read "
        "user-read-recently-played user-read-playback-position user-top-read",
        "show_dialog": "true",
    }
    assert "hush" not in attempt.url + repr(attempt)
    assert attempt.state not in repr(attempt)
    assert len({login.begin("http://127.0.0.1/cb").state for _ in range(20)}) == 20


def test_the_pkce_challenge_matches_rfc_7636() -> None:
    assert (
        pkce_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_without_a_secret_the_address_has_a_challenge_but_no_verifier(spotify: Server) -> None:
    attempt = AccountsClient(spotify.url, "me", None).begin("http://127.0.0.1/cb")
    asked = dict(parse_qsl(urlsplit(attempt.url).query))
    assert attempt.verifier
    assert 43 <= len(attempt.verifier) <= 128
    assert (asked["code_challenge_method"], asked["code_challenge"]) == ("S256", pkce_challenge(attempt.verifier))
    assert attempt.verifier not in attempt.url + repr(attempt)


@pytest.mark.parametrize("secret", ["hush", None])
def test_exchanges_a_code_for_tokens(spotify: Server, client: SpotifyClient, secret: str | None) -> None:
    login = AccountsClient(spotify.url, "me", secret)
    attempt = login.begin("http://127.0.0.1/cb")
    grant = login.exchange(attempt, agree(attempt)["code"])
    assert client.get_profile(grant.access_token)["id"] == "user01"
    assert grant.refresh_token
    assert login.refresh(grant.refresh_token).access_token


def test_returns_the_granted_scope_and_not_the_requested_one(login: AccountsClient) -> None:
    attempt = login.begin("http://127.0.0.1/cb")
    grant = login.exchange(attempt, agree(attempt, scope="user-library-read")["code"])
    assert grant.scope == "user-library-read"
    assert login.refresh(grant.refresh_token or "").scope == "user-library-read"


def test_a_code_is_valid_once_and_for_its_own_login(spotify: Server) -> None:
    for secret in ("hush", None):
        login = AccountsClient(spotify.url, "me", secret)
        attempt = login.begin("http://127.0.0.1/cb")
        code = agree(attempt)["code"]
        login.exchange(attempt, code)
        with pytest.raises(NeedsLogin, match=r"works once.*spotisync login") as raised:
            login.exchange(attempt, code)
        assert code not in str(raised.value)
    with pytest.raises(NeedsLogin, match="code_verifier"):
        login.exchange(login.begin("http://127.0.0.1/cb"), agree(attempt)["code"])


def test_a_wrong_redirect_uri_at_the_token_endpoint_says_what_to_list(login: AccountsClient) -> None:
    attempt = login.begin("http://127.0.0.1/cb")
    code = agree(attempt)["code"]
    with pytest.raises(NeedsLogin, match=r"must list exactly http://127\.0\.0\.1/other"):
        login.exchange(replace(attempt, redirect_uri="http://127.0.0.1/other"), code)


def test_a_wrong_client_at_a_login_is_fatal_and_names_the_variables() -> None:
    with start("tiny", client_id="me", client_secret="hush") as server:
        attempt = AccountsClient(server.url, "me", "wrong").begin("http://127.0.0.1/cb")
        error_of(
            lambda: AccountsClient(server.url, "me", "wrong").exchange(attempt, agree(attempt)["code"]), AppRejected
        )


@pytest.mark.parametrize("rule", [{"status": 503}, {"kind": "reset"}, {"kind": "garbage"}])
def test_a_failing_login_service_is_transient_for_a_code_too(login: AccountsClient, fault: Any, rule: Any) -> None:
    attempt = login.begin("http://127.0.0.1/cb")
    fault(path="/api/token", **rule)
    error_of(lambda: login.exchange(attempt, "AQ"), Transient)


def test_names_a_missing_scope_and_the_command_to_log_in(
    spotify: Server, login: AccountsClient, client: SpotifyClient
) -> None:
    attempt = login.begin("http://127.0.0.1/cb")
    token = login.exchange(attempt, agree(attempt, scope="user-library-read")["code"]).access_token
    assert client.get(SAVED, token)["items"]
    for request in (Request("playlists"), Request("playlist_items", playlist_id="37i9dQZF1DX0000000000a")):
        with pytest.raises(NeedsLogin, match=r"scope playlist-read-private, .*: spotisync login"):
            client.get(request, token)


# ---- unusual replies ------------------------------------------------------------------------------------------------


@pytest.fixture
def answering() -> Iterator[Callable[[Any], AccountsClient]]:
    """A login service that answers every request with the same reply."""
    said: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said[0])))
            self.end_headers()
            self.wfile.write(said[0])

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def answer(body: Any) -> AccountsClient:
            said[:] = [json.dumps(body).encode()]
            return AccountsClient(f"http://127.0.0.1:{server.server_port}", "me", "hush")

        yield answer
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "body",
    [
        {"expires_in": 3600},
        {"access_token": None, "expires_in": 3600},
        {"access_token": "", "expires_in": 3600},
        {"access_token": "BQ"},
        {"access_token": "BQ", "expires_in": None},
        {"access_token": "BQ", "expires_in": "soon"},
        {"access_token": "BQ", "expires_in": math.inf},
        {"access_token": "B\n", "expires_in": 3600},
        {"access_token": "BQ", "expires_in": 3600, "refresh_token": "\ud800"},
        [],
        "BQ",
        None,
    ],
)
def test_a_grant_without_a_token_or_expiry_is_transient(answering: Callable[[Any], AccountsClient], body: Any) -> None:
    error_of(lambda: answering(body).refresh("AQ"), Transient)


@pytest.mark.parametrize("rotated", [None, "", "AQ", 3])
def test_without_a_new_refresh_token_the_old_one_remains(
    answering: Callable[[Any], AccountsClient], rotated: Any
) -> None:
    login = answering({"access_token": "BQ", "expires_in": 3600, "refresh_token": rotated})
    assert login.refresh("AQ") == TokenGrant("BQ", 3600, None)


def test_an_expiry_beyond_any_date_is_a_day(answering: Callable[[Any], AccountsClient]) -> None:
    assert answering({"access_token": "BQ", "expires_in": 10**30}).refresh("AQ").expires_in == 86_400


def test_a_grant_can_be_stored(answering: Callable[[Any], AccountsClient]) -> None:
    """Postgres would refuse it, and a rotated token with it."""
    login = answering({"access_token": "BQ", "expires_in": -(10**30), "refresh_token": "AQnew", "scope": "a\0\ud800"})
    assert login.refresh("AQ") == TokenGrant("BQ", 0, "AQnew", "a?")


def test_a_missing_scope_is_unknown_or_as_requested(
    answering: Callable[[Any], AccountsClient],
) -> None:
    login = answering({"access_token": "BQ", "expires_in": 3600, "refresh_token": "AQnew"})
    assert login.refresh("AQ").scope is None
    assert login.exchange(login.begin("http://127.0.0.1/cb"), "AQ").scope == REQUESTED


def test_a_login_without_a_refresh_token_is_rejected(answering: Callable[[Any], AccountsClient]) -> None:
    login = answering({"access_token": "BQ", "expires_in": 3600})
    error_of(lambda: login.exchange(login.begin("http://127.0.0.1/cb"), "AQ"), Transient)
