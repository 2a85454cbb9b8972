"""Logins: redirect URIs, replies, scopes and expiry."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import oauth
from spotisync.core.oauth import LOGIN, LOGIN_LIFETIME, SCOPES, WARN_AFTER, LoginState
from spotisync.errors import Misconfigured, NeedsLogin

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)

# ---- the redirect URI -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "host", "port", "path"),
    [
        ("http://127.0.0.1:8420/accounts/callback", "127.0.0.1", 8420, "/accounts/callback"),
        ("http://127.0.0.1/cb", "127.0.0.1", None, "/cb"),
        ("http://127.0.0.1:9", "127.0.0.1", 9, ""),
        ("http://[::1]:9/cb", "::1", 9, "/cb"),
        ("https://example.com/cb", "example.com", None, "/cb"),
    ],
)
def test_keeps_an_accepted_redirect_uri_unchanged(uri: str, host: str, port: int | None, path: str) -> None:
    found = oauth.parse_redirect_uri(uri)
    assert (found.host, found.port, found.path) == (host, port, path)
    assert found.with_port() == uri
    assert found.is_loopback is uri.startswith("http:")


def test_replaces_the_port_of_a_redirect_uri() -> None:
    assert oauth.parse_redirect_uri("http://127.0.0.1:8420/cb").with_port(9) == "http://127.0.0.1:9/cb"
    assert oauth.parse_redirect_uri("http://[::1]/cb").with_port(9) == "http://[::1]:9/cb"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://localhost:8420/cb", "localhost, which Spotify no longer accepts"),
        ("http://LOCALHOST/cb", "localhost"),
        ("http://192.168.1.4:8420/cb", "to another machine"),
        ("http://example.com/cb", "to another machine"),
        ("http://127.0.0.1:0/cb", "is not a"),
        ("http://127.0.0.1:99999/cb", "is not a"),
        ("http://127.0.0.1:port/cb", "is not a"),
        ("http://[::1/cb", "is not a"),
        ("http://127.0.0.1/cb?next=1", "is not a"),
        ("http://127.0.0.1/cb#there", "is not a"),
        ("http://me@127.0.0.1/cb", "is not a"),
        ("ftp://127.0.0.1/cb", "is not a"),
        ("127.0.0.1:8420/cb", "is not a"),
        ("", "is not a"),
    ],
)
def test_rejects_any_other_redirect_uri_and_suggests_one(uri: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=f"SPOTIPY_REDIRECT_URI.*{why}") as raised:
        oauth.parse_redirect_uri(uri)
    assert "http://127.0.0.1:8420/accounts/callback" in str(raised.value)


@given(st.text())
def test_any_configured_value_is_parsed_or_rejected_with_a_message(uri: str) -> None:
    try:
        assert oauth.parse_redirect_uri(uri).host
    except Misconfigured as raised:
        assert "127.0.0.1:8420" in str(raised)


# ---- replies --------------------------------------------------------------------------------------------------------


def back(**answer: str) -> str:
    return f"http://127.0.0.1:8420/accounts/callback?{urlencode(answer)}"


@given(st.text(min_size=1), st.text())
def test_extracts_a_code_with_any_characters(code: str, state: str) -> None:
    url = back(code=code, state=state)
    assert oauth.has_state(url, state)
    assert oauth.extract_code(url) == code


@given(st.text(), st.text(min_size=1))
def test_never_accepts_a_reply_to_another_login(url: str, state: str) -> None:
    assert not oauth.has_state(url, f"{state}-ours")


def test_rejects_a_reply_with_another_state() -> None:
    assert oauth.has_state(back(code="AQ", state="mine"), "mine")
    assert oauth.has_state(f"  {back(code='AQ', state='mine')}\n", "mine"), "pasted with whitespace around it"
    for url in (
        back(code="AQ", state="other"),
        back(code="AQ"),
        back(code="AQ", state=""),
        "",
        "AQ",
        "http://[?state=mine",
        "?state=\udcff",
    ):
        assert not oauth.has_state(url, "mine")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": "access_denied"}, "was denied"),
        ({"error": "server_error"}, "'server_error'"),
        ({"error": "access_denied", "code": "AQ"}, "was denied"),
        ({}, "no code"),
        ({"code": ""}, "no code"),
    ],
)
def test_a_reply_without_a_code_says_why_and_how_to_continue(answer: dict[str, str], words: str) -> None:
    with pytest.raises(NeedsLogin, match=f"{words}.*{LOGIN}"):
        oauth.extract_code(back(state="s", **answer))


# ---- scopes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v1/me/tracks", "user-library-read"),
        ("/v1/me/albums", "user-library-read"),
        ("/v1/me/shows", "user-library-read"),
        ("/v1/me/audiobooks", "user-library-read"),
        ("/v1/me/episodes", "user-read-playback-position"),
        ("/v1/me/top/tracks", "user-top-read"),
        ("/v1/me/following", "user-follow-read"),
        ("/v1/me/player/recently-played", "user-read-recently-played"),
        ("/v1/me/playlists", "playlist-read-private"),
        ("/v1/playlists/37i9/items", "playlist-read-private"),
    ],
)
def test_names_the_missing_scope_and_the_command_to_log_in(path: str, scope: str) -> None:
    assert scope in oauth.REQUESTED.split()
    assert f"lacks the scope {scope}, " in oauth.missing_scope_message(path)
    assert LOGIN in oauth.missing_scope_message(path)


def test_names_the_path_of_a_call_whose_scope_is_unknown() -> None:
    assert "/v1/me/player" in oauth.missing_scope_message("/v1/me/player")
    assert LOGIN in oauth.missing_scope_message("/v1/me/player")


def test_recognises_only_errors_about_scopes() -> None:
    assert oauth.is_scope_error("Insufficient client scope")
    assert not any(oauth.is_scope_error(words) for words in ("Forbidden", "", "User not registered", "scope"))


def test_an_optional_scope_is_a_note_and_no_warning() -> None:
    assert oauth.describe_optional_scopes(None) is None
    assert oauth.describe_optional_scopes(oauth.REQUESTED) is None
    assert oauth.describe_optional_scopes(" ".join(SCOPES)) == (
        f"log in again to read also saved episodes and top artists and tracks: {LOGIN}"
    )
    assert standing(DAY, scope=" ".join(SCOPES)).warning is None


def test_compares_granted_scopes_once_they_are_known() -> None:
    assert oauth.find_missing_scopes(None) == ()
    assert oauth.find_missing_scopes("") == tuple(SCOPES)
    assert oauth.find_missing_scopes(" ".join(SCOPES)) == ()
    assert oauth.find_missing_scopes("streaming user-follow-read user-library-read playlist-read-private") == (
        "playlist-read-collaborative",
        "user-read-recently-played",
    )


# ---- refusals after the login ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Active premium subscription required for the owner of the app. When the ...", "owner needs Premium"),
        ("User not registered in the Developer Dashboard", "User Management"),
        ("Check settings on developer.spotify.com/dashboard, the user may not be registered.", "User Management"),
        ("The user is not registered for this application", "User Management"),
        ("Forbidden", "Forbidden"),
    ],
)
def test_explains_a_rejected_profile(message: str, words: str) -> None:
    assert words in oauth.rejected_profile_message(message)
    assert message in oauth.rejected_profile_message(message)


def test_explains_a_rejected_code() -> None:
    uri = "http://127.0.0.1:8420/cb"
    assert f"must list exactly {uri}" in oauth.rejected_code_message("invalid_grant: Invalid redirect URI", uri)
    assert "works once" in oauth.rejected_code_message("invalid_grant: Invalid authorization code", uri)


# ---- expiry ---------------------------------------------------------------------------------------------------------


def standing(
    age: timedelta | None, status: str = "active", scope: str | None = None, error: str | None = None
) -> LoginState:
    return oauth.get_login_state("me", status, None if age is None else NOW - age, scope, error, NOW)


@given(st.timedeltas(timedelta(0), 3 * LOGIN_LIFETIME))
def test_warns_from_month_five_and_names_the_command(age: timedelta) -> None:
    found = standing(age)
    assert found.expires_at == NOW - age + LOGIN_LIFETIME
    assert (found.warning is not None) == (age >= WARN_AFTER)
    assert LOGIN in (found.warning or LOGIN)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (30 * DAY, "in 30 days (2026-03-31)"),
        (DAY, "in 1 day (2026-03-02)"),
        (DAY / 2, "today (2026-03-02)"),
        (timedelta(0), "older than six months"),
        (-9 * DAY, "older than six months"),
    ],
)
def test_says_when_the_login_expires(left: timedelta, words: str) -> None:
    assert words in (standing(LOGIN_LIFETIME - left).warning or "")


def test_assumes_nothing_when_the_date_of_the_login_is_unknown() -> None:
    assert standing(None) == LoginState("me", "active", None, (), None)


def test_names_the_login_command_only_once_for_an_expired_login() -> None:
    warning = standing(
        2 * LOGIN_LIFETIME, "needs_login", error="Spotify no longer takes this login (invalid_grant)"
    ).warning
    assert warning == (
        "me has to log in again (Spotify no longer takes this login (invalid_grant)); log in again: spotisync login"
    )
    assert (standing(LOGIN_LIFETIME, "needs_login", error=f"over; {LOGIN}").warning or "").count(LOGIN) == 1


def test_names_the_scopes_that_a_login_lacks() -> None:
    found = standing(DAY, scope=" ".join(list(SCOPES)[:-1]))
    assert found.missing == ("user-read-recently-played",)
    assert "lacks user-read-recently-played (plays); log in again" in (found.warning or "")
    assert standing(DAY, "disabled", scope="").warning is None
