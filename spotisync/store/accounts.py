"""Accounts and their tokens, which are encrypted at rest and sent in clear to Spotify only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from spotisync.core import oauth, parse
from spotisync.core.apps import AppOwner
from spotisync.errors import Fatal, Misconfigured, Unknown
from spotisync.store import schema
from spotisync.store.database import Connection, execute

# A refresh takes about a second; a claim older than this belongs to a worker that died.
REFRESH_SECONDS = 30
# An access token that expires within this time is refreshed before it is used.
MARGIN_SECONDS = 30


# Columns of AppOwner.
OWN_APP = "a.client_id AS own_client_id, a.client_secret AS own_client_secret, a.developer AS own_developer"
# The developer account by whom Spotify counts the requests of account `a`. Bind that of the default app as :developer.
DEVELOPER = "COALESCE(a.developer, a.client_id, :developer)"


@dataclass(frozen=True)
class Account(AppOwner):
    id: int
    spotify_user_id: str
    spotify_account_id: str | None
    display_name: str | None
    status: str
    authorised_at: datetime | None
    last_error: str | None
    created_at: datetime


_ACCOUNT = f"""SELECT id, spotify_user_id, spotify_account_id, display_name, status, authorised_at, last_error,
    created_at, {OWN_APP} FROM accounts a"""


class TokenVault:
    """Encrypts with the first key, decrypts with any: prepending a key rotates it."""

    def __init__(self, keys: list[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise Misconfigured(
                "SPOTISYNC_SECRET_KEY must be a comma-separated list of Fernet keys (each 32 bytes, URL-safe base64)"
            ) from None

    def encrypt(self, clear: str) -> str:
        return self._fernet.encrypt(clear.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        try:
            return self._fernet.decrypt(encrypted).decode()
        except (InvalidToken, ValueError):
            raise Misconfigured(
                "the stored tokens were encrypted with another key; add that key to SPOTISYNC_SECRET_KEY"
            ) from None


def list_accounts(connection: Connection, *, active: bool = False) -> list[Account]:
    where = "WHERE status = 'active'" if active else ""
    rows = execute(connection, f"{_ACCOUNT} {where} ORDER BY id").mappings()
    return [Account(**row) for row in rows]


def list_first(connection: Connection, most: int) -> list[Account]:
    """Up to `most` accounts by id: with an unfinished run first, the oldest first, then those in need of a login."""
    rows = execute(connection, _FIRST, {"most": most}).mappings()
    return sorted((Account(**row) for row in rows), key=lambda each: each.id)


# The condition is that of the partial index.
_FIRST = f"""{_ACCOUNT} LEFT JOIN (SELECT account_id, min(id) AS run FROM sync_history
        WHERE status IN ('pending', 'in_progress', 'rate_limited') GROUP BY 1) u ON u.account_id = a.id
    ORDER BY u.run, array_position(ARRAY['needs_login', 'active', 'disabled'], a.status), a.id LIMIT :most"""


def list_names(connection: Connection, most: int, chosen: str | None = None) -> list[str]:
    """The names of the first accounts, and the chosen one if an account has it."""
    names = [each.spotify_user_id for each in list_first(connection, most)]
    known = find_name(connection, chosen)
    return [*names, known] if known and known not in names else names


def count_accounts(connection: Connection) -> int:
    return int(execute(connection, "SELECT count(*) FROM accounts").scalar_one())


def list_client_ids(connection: Connection, default: str) -> list[str]:
    """The default app, and the apps of accounts."""
    own = {each.own_client_id for each in list_accounts(connection)}
    return [default, *sorted(id_ for id_ in own if id_ and id_ != default)]


def list_developers(connection: Connection, default: str) -> list[str]:
    """The developer accounts of the default app and of the apps of accounts that are not disabled."""
    found = execute(
        connection,
        f"SELECT DISTINCT {DEVELOPER} FROM accounts a WHERE status <> 'disabled' ORDER BY 1",
        {"developer": default},
    )
    return [default, *(each for each in found.scalars() if each != default)]


def find_owners(connection: Connection, developers: list[str]) -> dict[str, str]:
    """An account that uses an app of its own, by developer account; those without one are absent."""
    found = execute(
        connection,
        """SELECT DISTINCT ON (1) COALESCE(developer, client_id) AS developer, spotify_user_id AS account FROM accounts
        WHERE COALESCE(developer, client_id) = ANY(:developers) ORDER BY 1, id""",
        {"developers": developers},
    )
    return {row.developer: row.account for row in found}


def find_name(connection: Connection, name: str | None) -> str | None:
    """The name, if an account has it."""
    if name is None or parse.text(name) != name:  # Postgres accepts no NUL, for example
        return None
    found = execute(connection, "SELECT spotify_user_id FROM accounts WHERE spotify_user_id = :name", {"name": name})
    return found.scalar_one_or_none()


def find_account(connection: Connection, name: str | None) -> Account:
    """Find an account by Spotify user id or `account_id`; without a name, the only account.

    Raises `Unknown` if there is none, `Fatal` if a name is needed.
    """
    is_storable = name is None or parse.text(name) == name  # Postgres accepts no NUL, for example
    found = [Account(**row) for row in execute(connection, _FIND, {"name": name}).mappings()] if is_storable else []
    if len(found) == 1:
        return found[0]
    if found:  # there may be thousands
        known = ", ".join(each.spotify_user_id for each in found)
        raise Fatal(f"More than one account: specify one, such as {known}")
    known = ", ".join(each.spotify_user_id for each in _list_first(connection))
    if not known:
        raise Unknown(f"No account yet. Log in: {oauth.LOGIN}")
    raise Unknown(f"Unknown account {name!r}. Known: {known}")


# Accounts that an error names.
_SHOWN = 20
_FIND = f"""{_ACCOUNT} WHERE CAST(:name AS text) IS NULL OR spotify_user_id = :name OR spotify_account_id = :name
    ORDER BY spotify_user_id IS DISTINCT FROM CAST(:name AS text), id
    LIMIT CASE WHEN CAST(:name AS text) IS NULL THEN {_SHOWN} ELSE 1 END"""


def _list_first(connection: Connection) -> list[Account]:
    rows = execute(connection, f"{_ACCOUNT} ORDER BY id LIMIT {_SHOWN}").mappings()
    return [Account(**row) for row in rows]


def list_login_states(connection: Connection, ids: Sequence[int] | None = None) -> list[oauth.LoginState]:
    """The state of each login, of these accounts or all: expiry, missing scopes, the fix. By the database's clock."""
    rows = execute(
        connection,
        f"""SELECT spotify_user_id AS account, status, authorised_at, scope, last_error, now() AS now,
            client_id IS NOT NULL AS own_app
        FROM accounts {"" if ids is None else "WHERE id = ANY(:ids)"} ORDER BY id""",
        {} if ids is None else {"ids": list(ids)},
    ).mappings()
    return [oauth.get_login_state(**row) for row in rows]


def is_profile_of(account: Account, profile: dict[str, Any]) -> bool:
    """Whether the profile belongs to this account. Spotify may reassign a user id, but never an `account_id`."""
    if account.spotify_account_id and profile["spotify_account_id"]:
        return bool(account.spotify_account_id == profile["spotify_account_id"])
    return bool(account.spotify_user_id == profile["spotify_user_id"])


def upsert(connection: Connection, profile: dict[str, Any], tokens: dict[str, Any]) -> int:
    """Insert an account, or store a new login of a known one, with its encrypted tokens. Synced rows stay.

    `tokens` names the app that they were issued to: `client_id`, `client_secret` (encrypted) and `developer`, each None
    for the default app.

    Raises `Fatal` if stored accounts match the profile only in part.
    """
    # Concurrent logins of one account must make one row. The lock blocks neither readers nor writes to other tables.
    execute(connection, "LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE")
    id_ = _find_id(connection, profile)
    statement = _INSERT if id_ is None else _UPDATE
    return int(execute(connection, statement, {**profile, **tokens, "id": id_}).scalar_one())


def find_profile(connection: Connection, profile: dict[str, Any]) -> Account | None:
    """The stored account of this profile."""
    return next((each for each in list_accounts(connection) if is_profile_of(each, profile)), None)


def _find_id(connection: Connection, profile: dict[str, Any]) -> int | None:
    """Find the row of this account: by its `account_id`, which never changes, else by its user id."""
    candidates = [
        each
        for each in list_accounts(connection)
        if each.spotify_user_id == profile["spotify_user_id"] or is_profile_of(each, profile)
    ]
    if len(candidates) == 1 and is_profile_of(candidates[0], profile):
        return candidates[0].id
    if candidates:
        raise Fatal(
            f"The Spotify user id {profile['spotify_user_id']} now belongs to another account than the stored one. "
            f"Remove the account that is no longer needed (spotisync accounts remove), one of "
            f"{', '.join(each.spotify_user_id for each in candidates)}; then: {oauth.LOGIN}"
        )
    return None


_INSERT = """INSERT INTO accounts (spotify_user_id, spotify_account_id, display_name, refresh_token, access_token,
        access_token_expires_at, scope, authorised_at, client_id, client_secret, developer)
    VALUES (:spotify_user_id, :spotify_account_id, :display_name, :refresh_token, :access_token,
        now() + make_interval(secs => :expires_in), :scope, COALESCE(:authorised_at, now()),
        :client_id, :client_secret, :developer)
    RETURNING id"""
_UPDATE = """UPDATE accounts SET spotify_user_id = :spotify_user_id, display_name = :display_name, status = 'active',
        spotify_account_id = COALESCE(:spotify_account_id, spotify_account_id), refresh_token = :refresh_token,
        access_token = :access_token, access_token_expires_at = now() + make_interval(secs => :expires_in),
        scope = :scope, authorised_at = COALESCE(:authorised_at, now()), last_error = NULL, refresh_claim = NULL,
        refresh_claim_until = NULL, updated_at = now(), client_id = :client_id, client_secret = :client_secret,
        developer = :developer
    WHERE id = :id RETURNING id"""


@dataclass(frozen=True)
class StoredTokens(AppOwner):
    """Tokens, encrypted as stored, and the app they were issued to. `fresh`: the access token does not expire soon."""

    account: str
    status: str
    refresh_token: str | None
    access_token: str | None
    fresh: bool
    last_error: str | None


def get_tokens(connection: Connection, account_id: int) -> StoredTokens:
    found = execute(
        connection,
        f"""SELECT spotify_user_id AS account, status, refresh_token, access_token, last_error, {OWN_APP},
            COALESCE(access_token_expires_at > now() + make_interval(secs => LEAST({MARGIN_SECONDS}, EXTRACT(epoch FROM
                access_token_expires_at - updated_at) / 10)), false) AS fresh
        FROM accounts a WHERE id = :id""",
        {"id": account_id},
    ).mappings()
    return StoredTokens(**found.one())


def check_key(connection: Connection, vault: TokenVault) -> None:
    """Raise `Misconfigured` if these keys can't decrypt a stored refresh token or client secret."""
    stored = """SELECT refresh_token FROM accounts WHERE refresh_token IS NOT NULL
        UNION ALL SELECT client_secret FROM accounts WHERE client_secret IS NOT NULL"""
    for (encrypted,) in execute(connection, stored):
        vault.decrypt(encrypted)


def get_scope(connection: Connection, account_id: int) -> str | None:
    """The granted scopes, separated by spaces as Spotify returned them; None if they were never stored."""
    found: str | None = execute(
        connection, "SELECT scope FROM accounts WHERE id = :id", {"id": account_id}
    ).scalar_one()
    return found


def claim_refresh(connection: Connection, account_id: int, token: UUID) -> bool:
    """Claim the account's token refresh. A claim instead of a row lock: no transaction is open during the request."""
    updated = execute(
        connection,
        f"""UPDATE accounts SET refresh_claim = :token,
            refresh_claim_until = now() + make_interval(secs => {REFRESH_SECONDS})
        WHERE id = :id AND (refresh_claim IS NULL OR refresh_claim_until <= now())""",
        {"id": account_id, "token": token},
    )
    return updated.rowcount == 1


def store_refreshed(connection: Connection, account_id: int, used: str, tokens: dict[str, Any]) -> bool:
    """Store refreshed tokens; commit before the access token is used, since the refresh token may have rotated.

    `used` is the refresh token that was sent, encrypted as stored. False: a newer one is stored already and is kept.
    """
    updated = execute(
        connection,
        """UPDATE accounts SET access_token = :access_token, scope = COALESCE(:scope, scope),
            access_token_expires_at = now() + make_interval(secs => :expires_in), updated_at = now(),
            refresh_token = COALESCE(:refresh_token, refresh_token),
            -- A concurrent refresh may have sent the same token later and been refused for it.
            status = CASE status WHEN 'needs_login' THEN 'active' ELSE status END, last_error = NULL,
            refresh_claim = NULL, refresh_claim_until = NULL WHERE id = :id AND refresh_token = :used""",
        {"id": account_id, "used": used, **tokens},
    )
    return updated.rowcount == 1


def end_refresh(connection: Connection, account_id: int, token: UUID) -> None:
    """Release the claim after a failed refresh."""
    execute(
        connection,
        """UPDATE accounts SET refresh_claim = NULL, refresh_claim_until = NULL
        WHERE id = :id AND refresh_claim = :token""",
        {"id": account_id, "token": token},
    )


def mark_needs_login(connection: Connection, account_id: int, used: str, why: str) -> bool:
    """Record that Spotify refused the refresh token `used` (encrypted). False: a newer one is stored already."""
    updated = execute(
        connection,
        """UPDATE accounts SET status = 'needs_login', last_error = :why, access_token = NULL,
            refresh_claim = NULL, refresh_claim_until = NULL, updated_at = now()
        WHERE id = :id AND refresh_token = :used""",
        {"id": account_id, "used": used, "why": why},
    )
    return updated.rowcount == 1


def set_status(connection: Connection, account_id: int, status: str) -> None:
    execute(
        connection,
        "UPDATE accounts SET status = :status, updated_at = now() WHERE id = :id",
        {"status": status, "id": account_id},
    )


OWNED_TABLES = {
    "saved tracks": schema.saved_tracks,
    "saved albums": schema.saved_albums,
    "followed artists": schema.followed_artists,
    "saved shows": schema.saved_shows,
    "saved episodes": schema.saved_episodes,
    "saved audiobooks": schema.saved_audiobooks,
    "playlists": schema.account_playlists,
    "plays": schema.play_history,
    "top artists and tracks": schema.top_items,
    "runs": schema.sync_history,
}


def count_rows(connection: Connection, account_id: int) -> dict[str, int]:
    """How many rows `remove` would delete, by kind; rows marked as removed are included."""
    counts = ", ".join(f"(SELECT count(*) FROM {table} WHERE account_id = :id)" for table in OWNED_TABLES.values())
    row = execute(connection, f"SELECT {counts}", {"id": account_id}).one()
    return dict(zip(OWNED_TABLES, row, strict=True))


def remove(connection: Connection, account_id: int) -> None:
    """Delete the account with its rows and the playlists that no other account has; the shared catalogue stays."""
    # Locked first: a concurrent run of another account can't begin to refer to a playlist that is about to be deleted.
    playlists = execute(
        connection,
        """SELECT id FROM playlists WHERE id IN (SELECT playlist_id FROM account_playlists WHERE account_id = :id)
        ORDER BY id FOR UPDATE""",
        {"id": account_id},
    )
    ids = list(playlists.scalars())
    execute(connection, "DELETE FROM accounts WHERE id = :id", {"id": account_id})
    execute(
        connection,
        """DELETE FROM playlists p WHERE id = ANY(:ids)
        AND NOT EXISTS (SELECT 1 FROM account_playlists a WHERE a.playlist_id = p.id)""",
        {"ids": ids},
    )
