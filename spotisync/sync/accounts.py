"""Add, authorise, check, disable and remove accounts."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from spotisync.core import oauth
from spotisync.errors import Fatal, NeedsLogin, Refused, Transient, Unavailable, Wait
from spotisync.spotify import LoginAttempt, TokenGrant
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import accounts, runs, waiters
from spotisync.store.database import Connection
from spotisync.sync.context import Context, in_transaction
from spotisync.sync.tokens import access_token

Profile = dict[str, Any]


def add(context: Context, refresh_token: str, authorised_at: datetime | None) -> accounts.Account:
    """Refresh the token, read its profile, and store both. Raises NeedsLogin if Spotify rejects the token."""
    grant, profile = _fetch_profile(context, lambda: context.accounts_client.refresh(refresh_token))
    return _store(context, profile, grant, refresh_token, authorised_at)


def begin_login(context: Context, redirect_uri: str, only: str | None = None) -> LoginAttempt:
    """Start a login: the user opens its `url`; the address that Spotify redirects to goes into `complete_login`.

    Raises `Fatal` if there is no account `only`.
    """
    if only is not None:
        with context.database.begin() as connection:
            accounts.find_account(connection, only)
    return context.accounts_client.begin(redirect_uri)


def complete_login(context: Context, attempt: LoginAttempt, url: str, only: str | None = None) -> accounts.Account:
    """Add or re-authorise an account with the address that the browser was redirected to.

    With `only`, any other account is rejected. Raises NeedsLogin, Fatal or Unavailable, each with how to fix it.
    """
    if not oauth.has_state(url, attempt.state):
        raise NeedsLogin(f"this address belongs to no login in progress; start a new one: {oauth.LOGIN}")
    code = oauth.extract_code(url)
    grant, profile = _fetch_profile(context, lambda: context.accounts_client.exchange(attempt, code))
    return _store(context, profile, grant, grant.refresh_token or "", None, only)


def _fetch_profile(context: Context, get_grant: Callable[[], TokenGrant]) -> tuple[TokenGrant, Profile]:
    """Return the tokens and the profile that they belong to."""
    try:
        grant = get_grant()
        return grant, context.spotify.get_profile(grant.access_token)
    except (Transient, Throttled, Unauthorised) as error:
        raise Unavailable(f"Spotify can't be reached: {error}") from None
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
    tokens = {
        "refresh_token": context.vault.encrypt(grant.refresh_token or refresh_token),
        "access_token": context.vault.encrypt(grant.access_token),
        "expires_in": grant.expires_in,
        "scope": grant.scope,
        "authorised_at": authorised_at,
    }
    owner = {
        "spotify_user_id": profile["id"],
        "spotify_account_id": profile.get("account_id"),
        "display_name": profile.get("display_name"),
    }

    def store(connection: Connection) -> accounts.Account:
        if only is not None and not accounts.is_profile_of(accounts.find_account(connection, only), owner):
            raise Fatal(
                f"logged in as {profile['id']}, not {only}; nothing was stored. Log in as {only}: {oauth.LOGIN}"
            )
        accounts.upsert(connection, owner, tokens)
        return accounts.find_account(connection, profile["id"])

    return context.database.transact(store)


def set_status(context: Context, name: str, status: str) -> accounts.Account:
    """Disabling an account cancels its unfinished runs; they can be resumed once it is enabled again."""

    def write(connection: Connection) -> accounts.Account:
        account = _lock(connection, name)
        accounts.set_status(connection, account.id, status)
        if status == "disabled":
            _cancel_all(connection, account, disabled_message(name))
        return accounts.find_account(connection, name)

    return context.database.transact(write)


def disabled_message(name: str) -> str:
    return f"{name} was disabled; enable it: spotisync accounts enable {name}"


def remove(context: Context, name: str) -> None:
    """Delete the account with its runs, lists and plays, and the playlists that no other account has.

    The catalogue of artists, albums and tracks, which accounts share, stays.

    One transaction, so that no crash leaves half an account or a caller without an answer: the callers' rows are
    detached from the deleted runs and keep the answer, which the next `answer` sends. Answering them before the
    deletion would need the broker, and a second attempt after a crash.
    """
    why = "the account was removed"

    def write(connection: Connection) -> None:
        account = _lock(connection, name)
        _cancel_all(connection, account, why)
        waiters.detach_account(connection, account.id, why)
        accounts.remove(connection, account.id)

    # A concurrent insert of one of the account's rows locks in the other order: a deadlock, which `transact` retries.
    context.database.transact(write)


def _lock(connection: Connection, name: str) -> accounts.Account:
    """Lock the account: none of its runs starts before the transaction ends."""
    account = accounts.find_account(connection, name)
    runs.lock_account(connection, account.id)
    return accounts.find_account(connection, name)


def _cancel_all(connection: Connection, account: accounts.Account, why: str) -> None:
    """Waits for a batch that is committing; a later commit finds its claim lost and writes nothing."""
    for sync_id in runs.list_unfinished(connection, account.id):
        runs.end(connection, sync_id, "cancelled", error=why)


list_accounts = in_transaction(accounts.list_accounts)


def check_spotify_answers(context: Context, account: accounts.Account) -> None:
    """Read the account's profile: one call. Raises NeedsLogin, Fatal, Refused, Transient, or Wait during a cooldown."""
    if block := context.gate.find_block("*"):
        raise Wait("*", block.until, block.reason)
    token = access_token(context, account.id)
    try:
        _read_profile(context, token)
    except Unauthorised:
        try:
            _read_profile(context, access_token(context, account.id, rejected=token))
        except Unauthorised as error:
            raise Transient(f"{error}, with a new token") from None


def _read_profile(context: Context, token: str) -> None:
    try:
        context.spotify.get_profile(token)
    except Throttled as throttled:
        # No cooldown is recorded: profile requests belong to none of the families that syncs use.
        raise Transient(str(throttled)) from None
