"""Accounts come, are switched off, and go."""

from datetime import datetime
from typing import Any

from spotisync.errors import Transient, Unavailable
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import accounts, runs
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
    """Disabling ends what is going, as a cancel does; once the account is enabled again it can be resumed."""
    with sync.database.begin() as connection:
        account_id = accounts.named(connection, name).id
        accounts.set_status(connection, account_id, status)
        for sync_id in runs.unfinished(connection, account_id) if status == "disabled" else ():
            runs.end(connection, sync_id, "cancelled", error=disabled_words(name))
        return accounts.named(connection, name)


def disabled_words(name: str) -> str:
    return f"{name} was disabled; enable it: spotisync accounts enable {name}"


def remove(sync: Sync, name: str) -> None:
    """Its runs, saved tracks and playlists go with it; the catalogue that accounts share stays."""
    with sync.database.begin() as connection:
        accounts.remove(connection, accounts.named(connection, name).id)


def every(sync: Sync) -> list[accounts.Account]:
    with sync.database.begin() as connection:
        return accounts.every(connection)
