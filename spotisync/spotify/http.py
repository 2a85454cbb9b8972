"""HTTP to errors, once, at the edge.

spotipy 2.26 is given a plain session of our own: with its own one it sleeps through a Retry-After of a day inside the
worker, reports any storm of 5xx as 429, and trips over error bodies that are not the usual object. The hook below sees
each response before spotipy does.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests

from spotisync.core import oauth
from spotisync.core.parse import text
from spotisync.errors import (
    AppBlocked,
    Fatal,
    NeedsLogin,
    Refused,
    SpotisyncError,
    Transient,
    UserBlocked,
)

Hook = Callable[..., None]


class Throttled(SpotisyncError):
    """429, as Spotify said it. The gate makes a `Wait` of it."""

    def __init__(self, retry_after: str | None, *, quota: bool) -> None:
        super().__init__(f"Spotify answered 429 (Retry-After: {retry_after or 'absent'})")
        self.retry_after = retry_after
        self.quota = quota


class Unauthorised(SpotisyncError):
    """401: this access token is not good any more."""


def make_session(hook: Hook) -> requests.Session:
    made = requests.Session()
    made.hooks["response"].append(hook)
    return made


def check_api(response: requests.Response, **_: Any) -> None:
    """Raise what a Web API response means, unless it is a success."""
    if response.status_code < 400:
        return
    words = error_message(response)
    if response.status_code == 429:
        raise Throttled(response.headers.get("Retry-After"), quota="QUOTA_EXCEEDED" in response.text)
    if response.status_code == 401:
        raise Unauthorised(f"Spotify answered 401: {words}")
    if response.status_code >= 500:
        raise Transient(f"Spotify answered {response.status_code}: {words}", response.status_code)
    if response.status_code == 403 and oauth.is_scope_error(words):
        raise NeedsLogin(oauth.missing_scope_message(urlsplit(response.url).path))
    raise _whole(response.status_code, words) or Refused(response.status_code, words)


# All 403s look alike but for their words, which have changed before: so only what can't be meant otherwise counts.
_PREMIUM = re.compile(r"premium subscription", re.IGNORECASE)
_NOT_LISTED = re.compile(r"user\b.{0,20}\bnot (be )?registered", re.IGNORECASE)


def _whole(status: int, words: str) -> Fatal | None:
    """The error of a 403 that means the whole app or the whole account, rather than the one thing asked for."""
    if status != 403:
        return None
    if _PREMIUM.search(words):
        return AppBlocked(
            f"Spotify serves this app to nobody: {words} (the account that owns the app at "
            "https://developer.spotify.com/dashboard needs Premium; then resume the sync)"
        )
    if _NOT_LISTED.search(words):
        return UserBlocked(
            f"Spotify does not serve this app to this account: {words} (its owner can add the account at "
            "https://developer.spotify.com/dashboard, under User Management)"
        )
    return None


def check_accounts(response: requests.Response, **_: Any) -> None:
    """Raise what a response of the token endpoint means. Only `invalid_grant` says that a login, or a code, is over."""
    if response.status_code < 400:
        return
    words = error_message(response)
    if "invalid_grant" in response.text:
        raise NeedsLogin(words)
    if response.status_code in {400, 401, 403}:
        raise Refused(response.status_code, words)
    raise Transient(f"Spotify's login answered {response.status_code}: {words}")


def error_message(response: requests.Response) -> str:
    """Spotify's words, whatever shape the body has: an object, a list, a string, HTML, nothing."""
    try:
        body = response.json()
    except ValueError:
        body = response.text
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message")
    if isinstance(body, dict) and body.get("error_description"):
        error = f"{error}: {body['error_description']}"
    # Cleaned: these words are stored, and Postgres takes no NUL and no lone surrogates.
    return " ".join((text(str(error or response.reason or "")) or "nothing").split())[:200]


@contextmanager
def translate_connection_errors() -> Iterator[None]:
    """Connections that fail, time out or break off are to be tried again."""
    try:
        yield
    except requests.RequestException as error:
        # Not its text: that may hold a URL with its query.
        raise Transient(f"no answer from Spotify ({type(error).__name__})") from None
