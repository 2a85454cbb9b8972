"""Accounts come, are switched off, and go."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from spotisync.core import oauth
from spotisync.errors import Fatal, NeedsLogin, Refused, Transient, Unavailable
from spotisync.spotify import LoginAttempt, TokenGrant
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import accounts, runs, waiters
from spotisync.store.database import Connection
from spotisync.sync.context import Context

Profile = dict[str, Any]


def add(context: Context, refresh_token: str, authorised_at: datetime | None) -> accounts.Account:
    """Try the token, ask Spotify whose it is, and store it encrypted. Raises NeedsLogin if Spotify does not take it."""
    grant, profile = _asked(context, lambda: context.accounts_client.refresh(refresh_token))
    return _store(context, profile, grant, refresh_token, authorised_at)


def begin_login(context: Context, redirect_uri: str, only: str | None = None) -> LoginAttempt:
    """A person is to open `url`; what then comes back to the redirect URI goes with the attempt into `complete`.

    Raises `Fatal` if there is no account `only`, before anybody is asked anything.
    """
    if only is not None:
        with context.database.begin() as connection:
            accounts.find_account(connection, only)
    return context.accounts_client.begin(redirect_uri)


def complete_login(context: Context, attempt: LoginAttempt, url: str, only: str | None = None) -> accounts.Account:
    """The address that the browser was sent to, for an account: a new one, or one that is authorised again.

    With `only`, nobody else is let in. Raises NeedsLogin, Fatal, Unavailable, each with the cure.
    """
    if not oauth.has_state(url, attempt.state):
        raise NeedsLogin(f"that address belongs to another attempt to log in, or to none; begin again: {oauth.LOGIN}")
    code = oauth.authorization_code(url)
    grant, profile = _asked(context, lambda: context.accounts_client.exchange(attempt, code))
    return _store(context, profile, grant, grant.refresh_token or "", None, only)


def _asked(context: Context, ask: Callable[[], TokenGrant]) -> tuple[TokenGrant, Profile]:
    """Tokens, and whose they are."""
    try:
        grant = ask()
        return grant, context.spotify.get_profile(grant.access_token)
    except (Transient, Throttled, Unauthorised) as error:
        raise Unavailable(f"Spotify can't be asked just now: {error}") from None
    except Refused as refused:
        raise Fatal(oauth.rejected_profile_message(refused.message)) from None


def _store(
    context: Context,
    profile: Profile,
    grant: TokenGrant,
    refresh_token: str,
    authorised_at: datetime | None,
    only: str | None = None,
) -> accounts.Account:
    sealed = {
        "refresh_token": context.vault.encrypt(grant.refresh_token or refresh_token),
        "access_token": context.vault.encrypt(grant.access_token),
        "expires_in": grant.expires_in,
        "scope": grant.scope,
        "authorised_at": authorised_at,
    }
    who = {
        "spotify_user_id": profile["id"],
        "spotify_account_id": profile.get("account_id"),
        "display_name": profile.get("display_name"),
    }

    def store(connection: Connection) -> accounts.Account:
        if only is not None and not accounts.is_profile_of(accounts.find_account(connection, only), who):
            raise Fatal(f"that was {profile['id']}, not {only}: nothing is stored. Log in as {only}: {oauth.LOGIN}")
        accounts.add(connection, who, sealed)
        return accounts.find_account(connection, profile["id"])

    return context.database.transact(store)


def set_status(context: Context, name: str, status: str) -> accounts.Account:
    """An account that is switched off ends its unfinished runs; once it is on again they can be resumed."""

    def switch(connection: Connection) -> accounts.Account:
        account = _locked(connection, name)
        accounts.set_status(connection, account.id, status)
        if status == "disabled":
            _cancel_all(connection, account, disabled_message(name))
        return accounts.find_account(connection, name)

    return context.database.transact(switch)


def disabled_message(name: str) -> str:
    return f"{name} was disabled; enable it: spotisync accounts enable {name}"


def remove(context: Context, name: str) -> None:
    """Its runs, saved tracks and playlists go with it; the catalogue that accounts share stays.

    All of it in one transaction, so that no crash leaves half an account or a caller who is never told: those who wait
    are parted from the runs that go, with what they are to be told, and the next `answer` tells them, whether the
    broker is there now or not. To tell them first and delete then would need a broker, and a second try after a crash.
    """
    why = "the account was removed"

    def take_away(connection: Connection) -> None:
        account = _locked(connection, name)
        _cancel_all(connection, account, why)
        waiters.detach_account(connection, account.id, why)
        accounts.remove(connection, account.id)

    # Whoever inserts a row of the account just now has locked it the other way round.
    context.database.transact(take_away)


def _locked(connection: Connection, name: str) -> accounts.Account:
    """No run of it begins meanwhile."""
    account = accounts.find_account(connection, name)
    runs.lock_account(connection, account.id)
    return accounts.find_account(connection, name)


def _cancel_all(connection: Connection, account: accounts.Account, why: str) -> None:
    """A commit in flight is waited for here; a later one finds its claim lost, and writes nothing."""
    for sync_id in runs.list_unfinished(connection, account.id):
        runs.end(connection, sync_id, "cancelled", error=why)


def list_accounts(context: Context) -> list[accounts.Account]:
    with context.database.begin() as connection:
        return accounts.list_accounts(connection)
