"""Access tokens: refreshed once for all workers; a rotated refresh token is stored before the access token is used."""

import threading
import time
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from spotisync.core import oauth
from spotisync.core.oauth import LOGIN
from spotisync.errors import AppRejected, Fatal, NeedsLogin, SpotisyncError, Stopping, Transient, Unavailable
from spotisync.spotify import TokenGrant
from spotisync.spotify.http import Throttled
from spotisync.store import accounts
from spotisync.store.accounts import StoredTokens
from spotisync.sync.apps import SpotifyApp
from spotisync.sync.context import Context, in_transaction

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 45
OUTAGE_SECONDS = 120
REMEDY = f"log in again: {LOGIN}"

_claim_refresh = in_transaction(accounts.claim_refresh)
_end_refresh = in_transaction(accounts.end_refresh)
_store_refreshed = in_transaction(accounts.store_refreshed)


@dataclass(frozen=True)
class IssuedToken:
    """An access token, and the app that it was issued to: its limits apply to requests with the token."""

    value: str = field(repr=False)
    app: SpotifyApp


class AccountAccess:
    """An account's access token for one batch. Thread-safe."""

    def __init__(self, context: Context, account_id: int) -> None:
        self._context = context
        self._account_id = account_id
        self._lock = threading.Lock()
        self._issued: IssuedToken | None = None

    def token(self, rejected: str | None = None) -> IssuedToken:
        """Return a valid token other than `rejected`. Raises NeedsLogin, Transient, Fatal or Wait."""
        with self._lock:
            if self._issued is None or self._issued.value == rejected:
                self._issued = get_token(self._context, self._account_id, rejected)
            return self._issued

    def wait_for_refresh(self) -> None:
        """Wait for a refresh in progress: a rotated token that is not stored would end the login."""
        with self._lock:
            return


def access_token(context: Context, account_id: int, rejected: str | None = None) -> str:
    return get_token(context, account_id, rejected).value


def get_token(context: Context, account_id: int, rejected: str | None = None) -> IssuedToken:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        app, stored = _read_stored(context, account_id, rejected)
        if stored:
            return IssuedToken(stored, app)
        app.gate.check_cooldown("*")  # no request could be sent with a new token
        claim = uuid4()
        if _claim_refresh(context, account_id, claim):
            # Another worker may have stored a token between our read and our claim.
            app, stored = _read_stored(context, account_id, rejected, claim)
            return IssuedToken(stored, app) if stored else _refresh(context, account_id, claim)
        if context.stopping():
            raise Stopping
        time.sleep(POLL_SECONDS)
    raise Transient(f"another worker has been refreshing the access token for {PATIENCE_SECONDS} s")


def _read_stored(
    context: Context, account_id: int, rejected: str | None, claim: UUID | None = None
) -> tuple[SpotifyApp, str | None]:
    """The account's app, and its stored access token if that can be used."""
    with context.database.begin() as connection:
        stored = accounts.get_tokens(connection, account_id)
        if stored.refresh_token is None or stored.status == "needs_login":
            raise NeedsLogin(f"{stored.last_error or 'the account has no refresh token'}; {_get_remedy(stored)}")
        app = context.apps.get(stored)
        if not stored.fresh or stored.access_token is None:
            return app, None
        token = context.vault.decrypt(stored.access_token)
        if token == rejected:
            return app, None
        if claim:
            accounts.end_refresh(connection, account_id, claim)
        return app, token


def _get_remedy(stored: StoredTokens) -> str:
    """A login without the account's name might be by another app."""
    return f"{REMEDY} --account {stored.account}" if stored.own_client_id else REMEDY


def _refresh(context: Context, account_id: int, claim: UUID) -> IssuedToken:
    # Together, since a new login may replace both: another app could not refresh this token.
    with context.database.begin() as connection:
        stored = accounts.get_tokens(connection, account_id)
    app, used = context.apps.get(stored), stored.refresh_token or ""
    try:
        grant = app.accounts_client.refresh(context.vault.decrypt(used))
    except NeedsLogin as error:
        with context.database.begin() as connection:
            if not accounts.mark_needs_login(connection, account_id, used, str(error)):
                raise Transient("another worker has replaced the refresh token meanwhile") from None
        raise NeedsLogin(f"{error}; {_get_remedy(stored)}") from None
    except SpotisyncError as error:
        _end_refresh(context, account_id, claim)
        if isinstance(error, AppRejected) and stored.own_client_id:
            raise Fatal(oauth.rejected_app_message(error.reason, stored.own_client_id, stored.account)) from None
        if isinstance(error, Throttled):
            raise app.gate.record_429("*", error.retry_after, quota=False) from None
        raise
    _store(context, account_id, used, grant)
    return IssuedToken(grant.access_token, app)


def _store(context: Context, account_id: int, used: str, grant: TokenGrant) -> None:
    """Retry for up to OUTAGE_SECONDS while Postgres is away: a rotated token exists nowhere else."""
    tokens = {
        "access_token": context.vault.encrypt(grant.access_token),
        "refresh_token": context.vault.encrypt(grant.refresh_token) if grant.refresh_token else None,
        "expires_in": grant.expires_in,
        "scope": grant.scope,
    }
    deadline = time.monotonic() + OUTAGE_SECONDS
    while True:
        try:
            _store_refreshed(context, account_id, used, tokens)
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return
