"""Spotify's accounts service: consent to a code, a code to tokens, a refresh token to an access token.

Not by spotipy: it writes the scope that it would ask for over the one that was granted, can't ask for Spotify's dialog
with PKCE, and goes interactive by itself.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import requests

from spotisync.core import oauth
from spotisync.errors import Fatal, NeedsLogin, Refused, Transient
from spotisync.spotify import http


@dataclass(frozen=True)
class TokenGrant:
    """What the token endpoint gave. `refresh_token` is None when the old one stays good; `scope` if it was not said."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str | None = field(repr=False)
    scope: str | None = None


@dataclass(frozen=True)
class LoginAttempt:
    """One login that has begun: a person is to open `url`. The rest proves that what comes back belongs to it."""

    url: str = field(repr=False)
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str | None = field(repr=False)


class AccountsClient:
    """The accounts service for one app: with a secret by Basic auth, without one by PKCE."""

    def __init__(self, accounts_url: str, client_id: str, client_secret: str | None) -> None:
        self._accounts_url = accounts_url
        self._client_id = client_id
        self._client_secret = client_secret

    def begin(self, redirect_uri: str) -> LoginAttempt:
        """Make the address that asks a person for their consent; nothing is sent."""
        state = secrets.token_urlsafe(24)
        verifier = None if self._client_secret else secrets.token_urlsafe(64)
        asked = {
            "client_id": self._client_id,
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "state": state,
            "scope": " ".join(oauth.SCOPES),
            # Else Spotify sends a browser that has agreed before straight back, as whoever is logged in there.
            "show_dialog": "true",
        }
        if verifier:
            asked |= {"code_challenge_method": "S256", "code_challenge": pkce_challenge(verifier)}
        return LoginAttempt(f"{self._accounts_url}/authorize?{urlencode(asked)}", redirect_uri, state, verifier)

    def exchange(self, attempt: LoginAttempt, code: str, timeout: float = 15) -> TokenGrant:
        """A code for tokens. Raises NeedsLogin when it is refused, Fatal when the app is, Transient for the rest."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": attempt.redirect_uri}
        if attempt.verifier:
            form["code_verifier"] = attempt.verifier
        try:
            # RFC 6749: a scope that is not told is the one that was asked for.
            grant = self._ask(form, timeout, lambda found: _grant({"scope": " ".join(oauth.SCOPES), **found}, ""))
        except NeedsLogin as refused:
            raise NeedsLogin(oauth.rejected_code_message(str(refused), attempt.redirect_uri)) from None
        if grant.refresh_token is None:
            raise Transient("Spotify's login sent no refresh token")
        return grant

    def refresh(self, refresh_token: str, timeout: float = 15) -> TokenGrant:
        """Raises NeedsLogin when the token is refused for good, Fatal when the app is, Transient for the rest."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            return self._ask(form, timeout, lambda found: _grant(found, refresh_token))
        except NeedsLogin as refused:
            raise NeedsLogin(f"Spotify no longer takes this login ({refused})") from None

    def _ask(self, form: dict[str, str], timeout: float, read: Callable[[Any], TokenGrant]) -> TokenGrant:
        try:
            with http.translate_connection_errors():
                return read(self._post(form, timeout))
        except Refused as refused:
            raise Fatal(
                f"Spotify refuses this app ({refused.message}); check SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET"
            ) from None
        except (KeyError, TypeError, ValueError):
            raise Transient("Spotify's login sent an unreadable answer") from None

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
    """Without any `auth`, requests would look into ~/.netrc."""
    return request


def _grant(found: Any, used: str) -> TokenGrant:
    access_token, rotated, scope = found["access_token"], found.get("refresh_token"), found.get("scope")
    if not isinstance(access_token, str) or not access_token:
        raise ValueError("no access token")
    if not isinstance(rotated, str) or rotated in {"", used}:
        rotated = None
    return TokenGrant(access_token, int(found["expires_in"]), rotated, scope if isinstance(scope, str) else None)
