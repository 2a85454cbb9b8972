"""Consents, authorization codes and tokens."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any

from spotisync.simulator.http.request import Refusal, Reply
from spotisync.simulator.http.text import dumps
from spotisync.simulator.settings import SimulatorSettings
from spotisync.simulator.world.world import World


@dataclass
class Grant:
    """An account's consent. `scope` None: every scope; `client_id` None: any client may use it."""

    account: str
    since: float
    client_id: str | None = None
    scope: str | None = None
    ended: str | None = None  # "revoked" or "expired"


@dataclass
class AccessToken:
    """`client_id`: the client that requested it, which the grant of a first refresh token does not name."""

    grant: Grant
    until: float
    client_id: str | None = None


@dataclass
class AuthorizationCode:
    grant: Grant
    redirect_uri: str
    challenge: str | None
    method: str | None
    until: float


class Logins:
    """The tokens of one simulator. Codes and initial refresh tokens derive from the seed, other tokens are random."""

    def __init__(self, world: World, settings: SimulatorSettings) -> None:
        self._world, self._settings = world, settings
        self._grants = {first_refresh_token(world, account): Grant(account, world.now()) for account in world.accounts}
        self._tokens_of = {grant.account: [token] for token, grant in self._grants.items()}
        self._access: dict[str, AccessToken] = {}
        self._codes: dict[str, AuthorizationCode] = {}
        self._codes_made = 0

    def grant_access(self, grant: Grant, life: float | None = None, client: str | None = None) -> str:
        token = "BQ" + token_urlsafe(60)
        life = self._settings.token_life if life is None else life
        self._access[token] = AccessToken(grant, self._world.now() + life, client)
        return token

    def access_token(self, account: str, life: float | None = None, client: str | None = None) -> str:
        """Issue an access token without the token endpoint."""
        return self.grant_access(Grant(account, self._world.now(), client), life, client)

    def access(self, token: str) -> AccessToken | None:
        return self._access.get(token)

    def refresh_token(self, account: str) -> str | None:
        """Return the account's newest valid refresh token."""
        valid = [token for token in self._tokens_of[account] if not self._grants[token].ended]
        return valid[-1] if valid else None

    def revoke(self, account: str, ended: str, *, access: bool) -> int:
        """End all consents of an account, with `access` also its access tokens; return how many consents ended."""
        ending = [grant for grant in self._grants.values() if grant.account == account and not grant.ended]
        for grant in ending:
            grant.ended = ended
        if access:
            self._access = {token: each for token, each in self._access.items() if each.grant.account != account}
        return len(ending)

    def issue_code(self, account: str, query: Mapping[str, str]) -> str:
        """Issue the code that /authorize returns."""
        grant = Grant(account, self._world.now(), query.get("client_id"), query.get("scope", ""))
        self._codes_made += 1
        code = "AQ" + hashlib.sha256(f"{self._world.seed}:{self._codes_made}:code".encode()).hexdigest() * 2
        challenge, method = query.get("code_challenge"), query.get("code_challenge_method", "plain")
        until = self._world.now() + self._settings.code_life
        self._codes[code] = AuthorizationCode(grant, query.get("redirect_uri", ""), challenge, method, until)
        return code

    def has_consented(self, account: str, query: Mapping[str, str]) -> bool:
        """Tell whether the account has granted this client all these scopes."""
        wanted = set(query.get("scope", "").split())
        return any(
            grant.account == account
            and grant.client_id == query.get("client_id")
            and not grant.ended
            and wanted <= set((grant.scope or "").split())
            for grant in self._grants.values()
        )

    def token(self, form: Mapping[str, str], authorization: str | None) -> Reply:
        """Answer POST /api/token."""
        return Reply(200, dumps(self._grant(form, self._identify_client(form, authorization))))

    def _grant(self, form: Mapping[str, str], client: str) -> dict[str, Any]:
        match form.get("grant_type"):
            case "refresh_token":
                return self._refresh(form, client)
            case "authorization_code":
                return self._exchange(form, client)
        raise _refusal("unsupported_grant_type", "grant_type parameter is missing or not supported")

    def _identify_client(self, form: Mapping[str, str], authorization: str | None) -> str:
        client, secret = find_client(form, authorization)
        if not client or self._settings.client_id not in ("", client):
            raise _refusal("invalid_client", "Invalid client")
        if secret is not None and self._settings.client_secret not in ("", secret):
            raise _refusal("invalid_client", "Invalid client secret")
        return client

    def _refresh(self, form: Mapping[str, str], client: str) -> dict[str, Any]:
        token = form.get("refresh_token")
        if not token:
            raise _refusal("invalid_request", "refresh_token must be supplied")
        grant = self._valid_grant(token, client)
        return self._answer(grant, client, self._rotate(token, grant))

    def _valid_grant(self, token: str, client: str) -> Grant:
        grant = self._grants.get(token)
        if grant is None or grant.client_id not in (None, client):
            raise _refusal("invalid_grant", "Invalid refresh token")
        if grant.since + self._settings.refresh_life <= self._world.now():
            grant.ended = grant.ended or "expired"
        if grant.ended:
            raise _refusal("invalid_grant", f"Refresh token {grant.ended}")
        return grant

    def _rotate(self, token: str, grant: Grant) -> str | None:
        match self._settings.refresh_reply:
            case "same":
                return token
            case "rotate":
                grant.ended = "revoked"
                return self._new_refresh_token(Grant(grant.account, grant.since, grant.client_id, grant.scope))
        return None

    def _new_refresh_token(self, grant: Grant) -> str:
        token = "AQ" + token_urlsafe(60)
        self._grants[token] = grant
        self._tokens_of[grant.account].append(token)
        return token

    def _exchange(self, form: Mapping[str, str], client: str) -> dict[str, Any]:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.grant.client_id != client:
            raise _refusal("invalid_grant", "Invalid authorization code")
        if code.until <= self._world.now():
            raise _refusal("invalid_grant", "Authorization code expired")
        if form.get("redirect_uri", "") != code.redirect_uri:
            raise _refusal("invalid_grant", "Invalid redirect URI")
        if code.challenge is not None and _challenge(form.get("code_verifier", ""), code.method) != code.challenge:
            raise _refusal("invalid_grant", "code_verifier was incorrect")
        return self._answer(code.grant, client, self._new_refresh_token(code.grant))

    def _answer(self, grant: Grant, client: str, refresh_token: str | None) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "access_token": self.grant_access(grant, client=client),
            "token_type": "Bearer",
            "expires_in": int(self._settings.token_life),
            "scope": SCOPES if grant.scope is None else grant.scope,
        }
        return answer if refresh_token is None else answer | {"refresh_token": refresh_token}


SCOPES = (
    "playlist-read-collaborative playlist-read-private user-follow-read user-library-read user-read-email "
    "user-read-playback-position user-read-private user-read-recently-played user-top-read"
)


def first_refresh_token(world: World, account: str) -> str:
    return "AQ" + hashlib.sha256(f"{world.seed}:{account}:refresh".encode()).hexdigest() * 2


def _refusal(kind: str, description: str) -> Refusal:
    return Refusal(Reply(400, dumps({"error": kind, "error_description": description})))


def find_client(form: Mapping[str, str], authorization: str | None) -> tuple[str, str | None]:
    """Return the client and its secret: from Basic authentication, or from a client_id alone (PKCE)."""
    return _basic(authorization) if authorization else (form.get("client_id", ""), None)


def _basic(authorization: str) -> tuple[str, str]:
    try:
        client, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    except ValueError:
        return "", ""
    return client, secret


def _challenge(verifier: str, method: str | None) -> str:
    if method != "S256":
        return verifier
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
