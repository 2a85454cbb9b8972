"""Accounts come, are switched off, and go."""

from datetime import datetime
from typing import Any

from spotisync.errors import Transient, Unavailable
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import accounts, runs, waiters
from spotisync.store.database import Connection
from spotisync.sync.context import Sync


def add(sync: Sync, refresh_token: str, authorised_at: datetime | None) -> accounts.Account:
    """Try the token, ask Spotify whose it is, and store it encrypted. Raises NeedsLogin if Spotify does not take it."""
    try:
        grant = sync.login.refresh(refresh_token)
        profile = sync.client.me(grant.access_token)
    except (Transient, Throttled, Unauthorised) as error:
        raise Unavailable(f"Spotify can't be asked just now: {error}") from None
    sealed: dict[str, Any] = {
        "refresh_token": sync.vault.seal(grant.refresh_token or refresh_token),
        "access_token": sync.vault.seal(grant.access_token),
        "expires_in": grant.expires_in,
        "scope": None,
        "authorised_at": authorised_at,
    }
    with sync.database.begin() as connection:
        accounts.add(
            connection,
            {
                "spotify_user_id": profile["id"],
                "spotify_account_id": profile.get("account_id"),
                "display_name": profile.get("display_name"),
            },
            sealed,
        )
        return accounts.named(connection, profile["id"])


def set_status(sync: Sync, name: str, status: str) -> accounts.Account:
    """An account that is switched off ends its unfinished runs; once it is on again they can be resumed."""
    with sync.database.begin() as connection:
        account = _locked(connection, name)
        accounts.set_status(connection, account.id, status)
        if status == "disabled":
            _cancel_all(connection, account, "the account was disabled")
        return accounts.named(connection, name)


def remove(sync: Sync, name: str) -> None:
    """Its runs, saved tracks and playlists go with it; the catalogue that accounts share stays.

    All of it in one transaction, so that no crash leaves half an account or a caller who is never told: those who wait
    are parted from the runs that go, with what they are to be told, and the next `answer` tells them, whether the
    broker is there now or not. To tell them first and delete then would need a broker, and a second try after a crash.
    """
    why = "the account was removed"
    with sync.database.begin() as connection:
        account = _locked(connection, name)
        _cancel_all(connection, account, why)
        waiters.part(connection, account.id, why)
        accounts.remove(connection, account.id)


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
