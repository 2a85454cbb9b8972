"""Add, authorise, check, disable and remove accounts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from spotisync.core import oauth
from spotisync.core.apps import App
from spotisync.errors import AppRejected, Fatal, NeedsLogin, Refused, Transient, Unavailable, Wait
from spotisync.spotify import LoginAttempt, TokenGrant
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import accounts, runs, waiters
from spotisync.store.database import Connection
from spotisync.sync.context import Context, in_transaction
from spotisync.sync.tokens import access_token

Profile = dict[str, Any]


@dataclass(frozen=True)
class AppChoice:
    """The app that a person has chosen for an account; `app` None: the default one."""

    app: App | None = None


def add(
    context: Context, refresh_token: str, authorised_at: datetime | None, choice: AppChoice | None = None
) -> accounts.Account:
    """Refresh the token, read its profile, and store both. Raises NeedsLogin if Spotify rejects the token.

    The token must have been issued to the chosen app, without a choice to the default one.
    """
    app = choice.app if choice else None
    client = context.apps.make_client(app)
    grant, profile = _fetch_profile(context, app, lambda: client.refresh(refresh_token))
    login = Login(profile, grant, refresh_token, app, changes_app=choice is not None, authorised_at=authorised_at)
    return _store(context, login)


def begin_login(
    context: Context, redirect_uri: str, only: str | None = None, choice: AppChoice | None = None
) -> LoginAttempt:
    """Start a login: the user opens its `url`; the address that Spotify redirects to goes into `complete_login`.

    Without a choice, by the app of the account `only`, else of the only account, else by the default app. Raises
    `Fatal` if there is no account `only`.
    """
    app = choice.app if choice else _find_app_in_use(context, only)
    attempt = context.apps.make_client(app).begin(redirect_uri)
    return replace(attempt, app=app, changes_app=choice is not None)


def _find_app_in_use(context: Context, only: str | None) -> App | None:
    with context.database.begin() as connection:
        found = [accounts.find_account(connection, only)] if only is not None else accounts.list_accounts(connection)
    return found[0].get_own_app(context.vault.decrypt) if len(found) == 1 else None


def complete_login(context: Context, attempt: LoginAttempt, url: str, only: str | None = None) -> accounts.Account:
    """Add or re-authorise an account with the address that the browser was redirected to.

    With `only`, any other account is rejected. Raises NeedsLogin, Fatal or Unavailable, each with how to fix it.
    """
    if not oauth.has_state(url, attempt.state):
        raise NeedsLogin(f"this address belongs to no login in progress; start a new one: {oauth.LOGIN}")
    code = oauth.extract_code(url)
    client = context.apps.make_client(attempt.app)
    grant, profile = _fetch_profile(context, attempt.app, lambda: client.exchange(attempt, code))
    login = Login(profile, grant, grant.refresh_token or "", attempt.app, changes_app=attempt.changes_app, only=only)
    return _store(context, login)


def _fetch_profile(
    context: Context, app: App | None, get_grant: Callable[[], TokenGrant]
) -> tuple[TokenGrant, Profile]:
    """Return the tokens, issued to this app, and the profile that they belong to."""
    try:
        grant = get_grant()
        return grant, context.spotify.get_profile(grant.access_token)
    except (Transient, Throttled, Unauthorised) as error:
        raise Unavailable(f"Spotify can't be reached: {error}") from None
    except AppRejected as error:
        if app is None:
            raise
        raise Fatal(oauth.rejected_app_message(error.reason, app.client_id)) from None
    except Refused as refused:
        raise Fatal(oauth.rejected_profile_message(refused.message)) from None


@dataclass(frozen=True)
class Login:
    """A login to store. `only`: the account that it must be of."""

    profile: Profile
    grant: TokenGrant
    refresh_token: str = field(repr=False)
    app: App | None
    changes_app: bool
    only: str | None = None
    authorised_at: datetime | None = None


def _store(context: Context, login: Login) -> accounts.Account:
    profile, grant, app, only = login.profile, login.grant, login.app, login.only
    secret = app.client_secret if app else None
    tokens = {
        "client_id": app.client_id if app else None,
        "client_secret": context.vault.encrypt(secret) if secret else None,
        "developer": app.developer if app and app.developer != app.client_id else None,
        "refresh_token": context.vault.encrypt(grant.refresh_token or login.refresh_token),
        "access_token": context.vault.encrypt(grant.access_token),
        "expires_in": grant.expires_in,
        "scope": grant.scope,
        "authorised_at": login.authorised_at,
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
        known = accounts.find_profile(connection, owner)
        if known and not login.changes_app and known.own_client_id != tokens["client_id"]:
            raise Fatal(oauth.other_app_message(known.spotify_user_id, known.own_client_id))
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
    if block := context.apps.get(account).gate.find_block("*"):
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
