"""Translate HTTP responses to errors.

spotipy 2.26 gets a plain session: its own session sleeps through a Retry-After of a day in the worker, reports repeated
5xx as 429, and fails on error bodies that are not the usual object. The hooks below see each response before spotipy.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import orjson
import requests

from spotisync.core import backoff, oauth
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
    """429 with its Retry-After header. The gate turns it into a `Wait`."""

    def __init__(self, retry_after: str | None, *, quota: bool) -> None:
        super().__init__(f"Spotify answered 429 (Retry-After: {retry_after or 'absent'})")
        self.retry_after = retry_after
        self.quota = quota


class Unauthorised(SpotisyncError):
    """401: the access token is no longer valid."""


def make_session(hook: Hook) -> requests.Session:
    session = requests.Session()
    session.hooks["response"].append(hook)
    return session


def read_environment_once(session: requests.Session, url: str) -> None:
    """Keep the proxies and certificates that the environment sets for this host.

    requests reads the whole environment, and ~/.netrc, for each call.
    """
    found = session.merge_environment_settings(url, {}, stream=None, verify=None, cert=None)
    session.proxies, session.verify, session.trust_env = found["proxies"], found["verify"], False


def read_json(response: requests.Response) -> Any:
    """Return the body of a response, None if it is not JSON.

    orjson reads strict JSON several times faster. What it rejects (NaN, lone surrogates, a BOM, another encoding than
    UTF-8) is left to the standard library, which is lenient.
    """
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        pass
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def read_text(response: requests.Response) -> str:
    """Return the body as text. requests fails on a few declared charsets, such as idna and punycode."""
    try:
        return response.text
    except ValueError:
        return response.content.decode(errors="replace")


def find_retry_after(response: requests.Response) -> str | None:
    """The header. A date becomes seconds by Spotify's own clock: that of this host may be wrong."""
    header = response.headers.get("Retry-After")
    try:
        now = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError, OverflowError):  # OverflowError: a year or time zone of many digits
        return header
    seconds = backoff.parse_retry_after(header, now)
    return header if seconds is None else str(seconds)


def check_api(response: requests.Response, **_: Any) -> None:
    """Raise the error that a Web API response stands for, if any."""
    if response.is_redirect:
        _check_redirect(response)
    if response.status_code < 400:
        return
    message = error_message(response)
    if response.status_code == 429:
        raise Throttled(find_retry_after(response), quota="QUOTA_EXCEEDED" in read_text(response))
    if response.status_code == 401:
        raise Unauthorised(f"Spotify answered 401: {message}")
    if response.status_code >= 500:
        raise Transient(f"Spotify answered {response.status_code}: {message}", response.status_code)
    if response.status_code == 403 and oauth.is_scope_error(message):
        raise NeedsLogin(oauth.missing_scope_message(urlsplit(response.url).path))
    raise _blocked(response, message) or Refused(response.status_code, message)


def _check_redirect(response: requests.Response) -> None:
    """Another host is not Spotify: requests would send it no token, but its reply would be read as Spotify's."""
    asked, target = urlsplit(response.url), urlsplit(urljoin(response.url, response.headers["Location"]))
    if (target.scheme, target.netloc) != (asked.scheme, asked.netloc):
        host = (text(target.hostname) or "")[:100]
        raise Transient(f"Spotify answered {response.status_code}: a redirect to another host ({host}), not followed")


# A 403 differs only in its message, which has changed before: only unambiguous ones are matched.
_PREMIUM = re.compile(r"premium subscription|PREMIUM_REQUIRED", re.IGNORECASE)
_NOT_LISTED = re.compile(r"user\b.{0,20}\bnot (be )?registered", re.IGNORECASE)


def _blocked(response: requests.Response, message: str) -> Fatal | None:
    """Return the error of a 403 that concerns the whole app or account rather than the requested resource."""
    if response.status_code != 403:
        return None
    if _PREMIUM.search(read_text(response)):
        return AppBlocked(oauth.no_premium_message(message))
    if _NOT_LISTED.search(message):
        return UserBlocked(
            f"Spotify blocks this account in this app: {message} (the owner of the app can add the account at "
            "https://developer.spotify.com/dashboard, under User Management)"
        )
    return None


def check_accounts(response: requests.Response, **_: Any) -> None:
    """Raise the error that a token endpoint response stands for. Only `invalid_grant` ends a login or a code."""
    if response.status_code < 400:
        return
    message = error_message(response)
    if response.status_code == 429:
        raise Throttled(find_retry_after(response), quota=False)
    if "invalid_grant" in read_text(response):
        raise NeedsLogin(message)
    if response.status_code in {400, 401, 403}:
        raise Refused(response.status_code, message)
    raise Transient(f"Spotify's token endpoint answered {response.status_code}: {message}")


def error_message(response: requests.Response) -> str:
    """Extract Spotify's message from any body: an object, a list, a string, HTML or nothing."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = read_text(response)
        body = "" if "<html" in body[:200].lower() else body  # the reason phrase says as much
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message")
    if isinstance(body, dict) and body.get("error_description"):
        error = f"{error}: {body['error_description']}"
    # Cleaned because it is stored, and Postgres accepts no NUL and no lone surrogates.
    return " ".join((text(str(error or response.reason or "")) or "nothing").split())[:200]


@contextmanager
def translate_connection_errors() -> Iterator[None]:
    """Turn failed, timed-out and aborted connections into `Transient`."""
    try:
        yield
    except (requests.RequestException, ValueError, RecursionError) as error:  # such as a redirect to an invalid URL
        # Without its text, which may contain a URL with its query.
        raise Transient(f"no answer from Spotify ({type(error).__name__})") from None
