"""What is asked of a person, what comes back, and how long it lasts."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import oauth
from spotisync.core.oauth import LIFE, LOGIN, SCOPES, WARNED, LoginState
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
def test_a_redirect_uri_that_spotify_takes_is_kept_letter_by_letter(
    uri: str, host: str, port: int | None, path: str
) -> None:
    found = oauth.parse_redirect_uri(uri)
    assert (found.host, found.port, found.path) == (host, port, path)
    assert found.with_port() == uri
    assert found.is_loopback is uri.startswith("http:")


def test_another_port_takes_the_place_of_its_own() -> None:
    assert oauth.parse_redirect_uri("http://127.0.0.1:8420/cb").with_port(9) == "http://127.0.0.1:9/cb"
    assert oauth.parse_redirect_uri("http://[::1]/cb").with_port(9) == "http://[::1]:9/cb"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://localhost:8420/cb", "localhost, which Spotify does not accept any more"),
        ("http://LOCALHOST/cb", "localhost"),
        ("http://192.168.1.4:8420/cb", "to another machine"),
        ("http://example.com/cb", "to another machine"),
        ("http://127.0.0.1:0/cb", "no address"),
        ("http://127.0.0.1:99999/cb", "no address"),
        ("http://127.0.0.1:port/cb", "no address"),
        ("http://[::1/cb", "no address"),
        ("http://127.0.0.1/cb?next=1", "no address"),
        ("http://127.0.0.1/cb#there", "no address"),
        ("http://me@127.0.0.1/cb", "no address"),
        ("ftp://127.0.0.1/cb", "no address"),
        ("127.0.0.1:8420/cb", "no address"),
        ("", "no address"),
    ],
)
def test_any_other_is_refused_with_the_cure(uri: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=f"SPOTIPY_REDIRECT_URI.*{why}") as told:
        oauth.parse_redirect_uri(uri)
    assert "http://127.0.0.1:8420/accounts/callback" in str(told.value)


@given(st.text())
def test_whatever_is_set_is_an_address_or_is_refused_in_words(uri: str) -> None:
    try:
        assert oauth.parse_redirect_uri(uri).host
    except Misconfigured as told:
        assert "127.0.0.1:8420" in str(told)


# ---- what comes back ------------------------------------------------------------------------------------------------


def back(**answer: str) -> str:
    return f"http://127.0.0.1:8420/accounts/callback?{urlencode(answer)}"


@given(st.text(min_size=1), st.text())
def test_a_code_comes_back_whatever_letters_it_has(code: str, state: str) -> None:
    url = back(code=code, state=state)
    assert oauth.has_state(url, state)
    assert oauth.authorization_code(url) == code


@given(st.text(), st.text(min_size=1))
def test_what_is_no_answer_of_ours_is_never_taken_for_one(url: str, state: str) -> None:
    assert not oauth.has_state(url, f"{state}-ours")


def test_another_state_is_not_ours() -> None:
    assert oauth.has_state(back(code="AQ", state="mine"), "mine")
    assert oauth.has_state(f"  {back(code='AQ', state='mine')}\n", "mine"), "as it is pasted"
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
        ({"error": "access_denied"}, "told not to"),
        ({"error": "server_error"}, "'server_error'"),
        ({"error": "access_denied", "code": "AQ"}, "told not to"),
        ({}, "no code"),
        ({"code": ""}, "no code"),
    ],
)
def test_an_answer_without_a_code_says_why_and_what_to_do(answer: dict[str, str], words: str) -> None:
    with pytest.raises(NeedsLogin, match=f"{words}.*{LOGIN}"):
        oauth.authorization_code(back(state="s", **answer))


# ---- scopes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v1/me/tracks", "user-library-read"),
        ("/v1/me/albums", "user-library-read"),
        ("/v1/me/following", "user-follow-read"),
        ("/v1/me/player/recently-played", "user-read-recently-played"),
        ("/v1/me/playlists", "playlist-read-private"),
        ("/v1/playlists/37i9/items", "playlist-read-private"),
    ],
)
def test_the_scope_that_a_call_lacks_is_named_with_its_cure(path: str, scope: str) -> None:
    assert scope in SCOPES
    assert f"lacks the scope {scope}, " in oauth.missing_scope_message(path)
    assert LOGIN in oauth.missing_scope_message(path)


def test_a_call_that_nobody_foresaw_is_named_itself() -> None:
    assert "/v1/me/shows" in oauth.missing_scope_message("/v1/me/shows")
    assert LOGIN in oauth.missing_scope_message("/v1/me/shows")


def test_only_words_about_a_scope_are_about_a_scope() -> None:
    assert oauth.is_scope_error("Insufficient client scope")
    assert not any(oauth.is_scope_error(words) for words in ("Forbidden", "", "User not registered", "scope"))


def test_what_was_granted_is_compared_once_it_is_known() -> None:
    assert oauth.missing_scopes(None) == ()
    assert oauth.missing_scopes("") == tuple(SCOPES)
    assert oauth.missing_scopes(" ".join(SCOPES)) == ()
    assert oauth.missing_scopes("streaming user-follow-read user-library-read playlist-read-private") == (
        "playlist-read-collaborative",
        "user-read-recently-played",
    )


# ---- refusals after the login ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Active premium subscription required for the owner of the app. When the ...", "owner has Premium"),
        ("User not registered in the Developer Dashboard", "User Management"),
        ("Check settings on developer.spotify.com/dashboard, the user may not be registered.", "User Management"),
        ("The user is not registered for this application", "User Management"),
        ("Forbidden", "Forbidden"),
    ],
)
def test_a_profile_that_is_refused_says_why(said: str, words: str) -> None:
    assert words in oauth.rejected_profile_message(said)
    assert said in oauth.rejected_profile_message(said)


def test_a_code_that_is_refused_says_why() -> None:
    uri = "http://127.0.0.1:8420/cb"
    assert f"must list exactly {uri}" in oauth.rejected_code_message("invalid_grant: Invalid redirect URI", uri)
    assert "good once" in oauth.rejected_code_message("invalid_grant: Invalid authorization code", uri)


# ---- half a year ----------------------------------------------------------------------------------------------------


def standing(
    age: timedelta | None, status: str = "active", scope: str | None = None, error: str | None = None
) -> LoginState:
    return oauth.login_state("me", status, None if age is None else NOW - age, scope, error, NOW)


@given(st.timedeltas(timedelta(0), 3 * LIFE))
def test_a_warning_comes_from_month_five_and_says_the_cure(age: timedelta) -> None:
    found = standing(age)
    assert found.expires_at == NOW - age + LIFE
    assert (found.warning is not None) == (age >= WARNED)
    assert LOGIN in (found.warning or LOGIN)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (30 * DAY, "in 30 days (2026-03-31)"),
        (DAY, "in 1 day (2026-03-02)"),
        (DAY / 2, "today (2026-03-02)"),
        (timedelta(0), "half a year old"),
        (-9 * DAY, "half a year old"),
    ],
)
def test_it_says_when_the_login_ends(left: timedelta, words: str) -> None:
    assert words in (standing(LIFE - left).warning or "")


def test_nothing_is_guessed_of_a_login_whose_day_is_unknown() -> None:
    assert standing(None) == LoginState("me", "active", None, (), None)


def test_a_login_that_is_over_says_so_once() -> None:
    warning = standing(2 * LIFE, "needs_login", error="Spotify no longer takes this login (invalid_grant)").warning
    assert warning == (
        "me has to log in again (Spotify no longer takes this login (invalid_grant)); log in again: spotisync login"
    )
    assert (standing(LIFE, "needs_login", error=f"over; {LOGIN}").warning or "").count(LOGIN) == 1


def test_a_login_that_lacks_a_scope_says_which() -> None:
    found = standing(DAY, scope=" ".join(list(SCOPES)[:-1]))
    assert found.missing == ("user-read-recently-played",)
    assert "lacks user-read-recently-played (plays); log in again" in (found.warning or "")
    assert standing(DAY, "disabled", scope="").warning is None
