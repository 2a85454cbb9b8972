"""Spotify's accounts service: authorisation URL, code exchange and token refresh.

Without spotipy, which overwrites the granted scope with the requested one, can't request Spotify's dialog with PKCE,
and prompts interactively.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import requests

from spotisync.core import oauth
from spotisync.core.apps import App
from spotisync.core.parse import text
from spotisync.errors import AppRejected, NeedsLogin, Refused, Transient
from spotisync.spotify import http

LONGEST_EXPIRY: Final = 86_400  # Spotify's tokens last an hour; Postgres has no time for any number of seconds


@dataclass(frozen=True)
class TokenGrant:
    """A reply of the token endpoint. `refresh_token` is None if the old one stays valid, `scope` if it was not sent."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str | None = field(repr=False)
    scope: str | None = None


@dataclass(frozen=True)
class LoginAttempt:
    """A login in progress: the user opens `url`; the other fields verify that the redirect belongs to it."""

    url: str = field(repr=False)
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str | None = field(repr=False)
    # The account's own app; None: the default one.
    app: App | None = None
    # Whether an account that uses another app may be moved to this one.
    changes_app: bool = False


class AccountsClient:
    """The accounts service for one app: Basic auth with a secret, PKCE without one."""

    def __init__(self, accounts_url: str, client_id: str, client_secret: str | None) -> None:
        self._accounts_url = accounts_url
        self._client_id = client_id
        self._client_secret = client_secret

    def begin(self, redirect_uri: str) -> LoginAttempt:
        """Build the authorisation URL; nothing is sent."""
        state = secrets.token_urlsafe(24)
        verifier = None if self._client_secret else secrets.token_urlsafe(64)
        query = {
            "client_id": self._client_id,
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "state": state,
            "scope": oauth.REQUESTED,
            # Otherwise Spotify redirects a browser that has consented before at once, as the user logged in there.
            "show_dialog": "true",
        }
        if verifier:
            query |= {"code_challenge_method": "S256", "code_challenge": pkce_challenge(verifier)}
        return LoginAttempt(f"{self._accounts_url}/authorize?{urlencode(query)}", redirect_uri, state, verifier)

    def exchange(self, attempt: LoginAttempt, code: str, timeout: float = 15) -> TokenGrant:
        """Exchange a code for tokens. NeedsLogin: it is rejected; Fatal: the app is; else Throttled or Transient."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": attempt.redirect_uri}
        if attempt.verifier:
            form["code_verifier"] = attempt.verifier
        try:
            # RFC 6749, 5.1: an omitted scope is the requested one.
            grant = self._request(form, timeout, lambda body: _grant({"scope": oauth.REQUESTED, **body}, ""))
        except NeedsLogin as error:
            raise NeedsLogin(oauth.rejected_code_message(str(error), attempt.redirect_uri)) from None
        if grant.refresh_token is None:
            raise Transient("Spotify's token endpoint sent no refresh token")
        return grant

    def refresh(self, refresh_token: str, timeout: float = 15) -> TokenGrant:
        """Raises NeedsLogin if the token is rejected for good, Fatal if the app is, Throttled or Transient."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            return self._request(form, timeout, lambda body: _grant(body, refresh_token))
        except NeedsLogin as error:
            raise NeedsLogin(f"Spotify no longer accepts this login ({error})") from None

    def _request(self, form: dict[str, str], timeout: float, parse: Callable[[Any], TokenGrant]) -> TokenGrant:
        try:
            with http.translate_connection_errors():
                body = self._post(form, timeout)
        except Refused as refused:
            raise AppRejected(refused.message) from None
        try:
            return parse(body)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise Transient("Spotify's token endpoint sent an unreadable reply") from None

    def _post(self, form: dict[str, str], timeout: float) -> Any:
        auth = (self._client_id, self._client_secret) if self._client_secret else _no_auth
        with http.make_session(http.check_accounts) as session:
            return session.post(
                f"{self._accounts_url}/api/token",
                data=form if self._client_secret else {**form, "client_id": self._client_id},
                auth=auth,
                timeout=timeout,
                allow_redirects=False,
            ).json()


def pkce_challenge(verifier: str) -> str:
    """PKCE's S256 (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without any `auth`, requests would read ~/.netrc."""
    return request


def _grant(body: Any, used: str) -> TokenGrant:
    access_token, rotated = body["access_token"], body.get("refresh_token")
    if not isinstance(rotated, str) or rotated in {"", used}:
        rotated = None
    # Another token could be neither stored nor sent in a header.
    if not _is_token(access_token) or not (rotated is None or _is_token(rotated)):
        raise ValueError("no token")
    expires_in = max(0, min(int(body["expires_in"]), LONGEST_EXPIRY))
    return TokenGrant(access_token, expires_in, rotated, text(body.get("scope")))


def _is_token(value: Any) -> bool:
    """Whether it is visible ASCII (RFC 6749, A.12)."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()
