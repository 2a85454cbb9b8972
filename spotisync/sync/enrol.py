"""Accounts come, are switched off, and go."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from spotisync.core import consent
from spotisync.errors import Fatal, NeedsLogin, Refused, Transient, Unavailable
from spotisync.spotify import Attempt, Grant
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import accounts, runs, waiters
from spotisync.store.database import Connection
from spotisync.sync.context import Sync

Profile = dict[str, Any]


def add(sync: Sync, refresh_token: str, authorised_at: datetime | None) -> accounts.Account:
    """Try the token, ask Spotify whose it is, and store it encrypted. Raises NeedsLogin if Spotify does not take it."""
    grant, profile = _asked(sync, lambda: sync.login.refresh(refresh_token))
    return _store(sync, profile, grant, refresh_token, authorised_at)


def begin(sync: Sync, redirect_uri: str, only: str | None = None) -> Attempt:
    """A person is to open `url`; what then comes back to the redirect URI goes with the attempt into `complete`.

    Raises `Fatal` if there is no account `only`, before anybody is asked anything.
    """
    if only is not None:
        with sync.database.begin() as connection:
            accounts.named(connection, only)
    return sync.login.begin(redirect_uri)


def complete(sync: Sync, attempt: Attempt, url: str, only: str | None = None) -> accounts.Account:
    """The address that the browser was sent to, for an account: a new one, or one that is authorised again.

    With `only`, nobody else is let in. Raises NeedsLogin, Fatal, Unavailable, each with the cure.
    """
    if not consent.belongs(url, attempt.state):
        raise NeedsLogin(f"that address belongs to another attempt to log in, or to none; begin again: {consent.LOGIN}")
    code = consent.code(url)
    grant, profile = _asked(sync, lambda: sync.login.exchange(attempt, code))
    return _store(sync, profile, grant, grant.refresh_token or "", None, only)


def _asked(sync: Sync, ask: Callable[[], Grant]) -> tuple[Grant, Profile]:
    """Tokens, and whose they are."""
    try:
        grant = ask()
        return grant, sync.client.me(grant.access_token)
    except (Transient, Throttled, Unauthorised) as error:
        raise Unavailable(f"Spotify can't be asked just now: {error}") from None
    except Refused as refused:
        raise Fatal(consent.refused_profile(refused.message)) from None


def _store(
    sync: Sync,
    profile: Profile,
    grant: Grant,
    refresh_token: str,
    authorised_at: datetime | None,
    only: str | None = None,
) -> accounts.Account:
    sealed = {
        "refresh_token": sync.vault.seal(grant.refresh_token or refresh_token),
        "access_token": sync.vault.seal(grant.access_token),
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
        if only is not None and not accounts.is_of(accounts.named(connection, only), who):
            raise Fatal(f"that was {profile['id']}, not {only}: nothing is stored. Log in as {only}: {consent.LOGIN}")
        accounts.add(connection, who, sealed)
        return accounts.named(connection, profile["id"])

    return sync.database.transact(store)


def set_status(sync: Sync, name: str, status: str) -> accounts.Account:
    """An account that is switched off ends its unfinished runs; once it is on again they can be resumed."""

    def switch(connection: Connection) -> accounts.Account:
        account = _locked(connection, name)
        accounts.set_status(connection, account.id, status)
        if status == "disabled":
            _cancel_all(connection, account, disabled_words(name))
        return accounts.named(connection, name)

    return sync.database.transact(switch)


def disabled_words(name: str) -> str:
    return f"{name} was disabled; enable it: spotisync accounts enable {name}"


def remove(sync: Sync, name: str) -> None:
    """Its runs, saved tracks and playlists go with it; the catalogue that accounts share stays.

    All of it in one transaction, so that no crash leaves half an account or a caller who is never told: those who wait
    are parted from the runs that go, with what they are to be told, and the next `answer` tells them, whether the
    broker is there now or not. To tell them first and delete then would need a broker, and a second try after a crash.
    """
    why = "the account was removed"

    def take_away(connection: Connection) -> None:
        account = _locked(connection, name)
        _cancel_all(connection, account, why)
        waiters.part(connection, account.id, why)
        accounts.remove(connection, account.id)

    # Whoever inserts a row of the account just now has locked it the other way round.
    sync.database.transact(take_away)


def _locked(connection: Connection, name: str) -> accounts.Account:
    """No run of it begins meanwhile."""
    account = accounts.named(connection, name)
    runs.lock_account(connection, account.id)
    return accounts.named(connection, name)


def _cancel_all(connection: Connection, account: accounts.Account, why: str) -> None:
    """A commit in flight is waited for here; a later one finds its claim lost, and writes nothing."""
    for sync_id in runs.unfinished(connection, account.id):
        runs.end(connection, sync_id, "cancelled", error=why)


def every(sync: Sync) -> list[accounts.Account]:
    with sync.database.begin() as connection:
        return accounts.every(connection)
