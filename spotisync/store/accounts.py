"""Accounts and their tokens, encrypted at rest; in clear they go nowhere but to Spotify."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Connection, text

from spotisync.core import oauth
from spotisync.errors import Fatal, Misconfigured, Unknown
from spotisync.store import schema

# Refreshing takes a second; a worker that claimed it and has not finished after this long has died.
REFRESH_SECONDS = 30
# A token that ends within this long is not used any more.
MARGIN_SECONDS = 30


@dataclass(frozen=True)
class Account:
    id: int
    spotify_user_id: str
    spotify_account_id: str | None
    display_name: str | None
    status: str
    authorised_at: datetime | None
    last_error: str | None
    created_at: datetime


_ACCOUNT = """SELECT id, spotify_user_id, spotify_account_id, display_name, status, authorised_at, last_error,
    created_at FROM accounts"""


class TokenVault:
    """Encrypts with the first key, decrypts with any: prepending a key rotates it."""

    def __init__(self, keys: list[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise Misconfigured(
                "SPOTISYNC_SECRET_KEY is not a list of Fernet keys (each 32 bytes, url-safe base64)"
            ) from None

    def encrypt(self, clear: str) -> str:
        return self._fernet.encrypt(clear.encode()).decode()

    def decrypt(self, sealed: str) -> str:
        try:
            return self._fernet.decrypt(sealed).decode()
        except (InvalidToken, ValueError):
            raise Misconfigured(
                "the stored tokens were encrypted with another SPOTISYNC_SECRET_KEY; add that key to the list"
            ) from None


def list_accounts(connection: Connection, *, active: bool = False) -> list[Account]:
    where = "WHERE status = 'active'" if active else ""
    rows = connection.execute(text(f"{_ACCOUNT} {where} ORDER BY id"))
    return [Account(**row._mapping) for row in rows]  # noqa: SLF001


def find_account(connection: Connection, name: str | None) -> Account:
    """The account with this Spotify user id (or `account_id`); the only one there is if no name is given.

    Raises `Fatal` in words.
    """
    found = list_accounts(connection)
    if not found:
        raise Unknown(f"there is no account yet; log in: {oauth.LOGIN}")
    if name is None and len(found) > 1:
        raise Fatal(f"which account? There are {', '.join(each.spotify_user_id for each in found)}")
    for each in found:
        if name in (None, each.spotify_user_id, each.spotify_account_id):
            return each
    raise Unknown(f"there is no account {name!r}; there are {', '.join(each.spotify_user_id for each in found)}")


def login_states(connection: Connection) -> list[oauth.LoginState]:
    """How each account's login stands, by the database's clock: when it ends, what it lacks, what to do."""
    rows = connection.execute(
        text(
            """SELECT spotify_user_id AS account, status, authorised_at, scope, last_error, now() AS now
            FROM accounts ORDER BY id"""
        )
    )
    return [oauth.login_state(**row._mapping) for row in rows]  # noqa: SLF001


def is_profile_of(account: Account, profile: dict[str, Any]) -> bool:
    """Whether the profile is this account's. A user id may change hands, an `account_id` does not."""
    if account.spotify_account_id and profile["spotify_account_id"]:
        return bool(account.spotify_account_id == profile["spotify_account_id"])
    return bool(account.spotify_user_id == profile["spotify_user_id"])


def add(connection: Connection, profile: dict[str, Any], sealed: dict[str, Any]) -> int:
    """Store an account that Spotify has just confirmed, or authorise it again; what it has synced stays.

    Raises `Fatal` in words where it can't be said whose rows those would be.
    """
    # Two logins of one account at once make one row. Whoever only reads, or writes rows of an account, does not wait.
    connection.execute(text("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE"))
    known = _known(connection, profile)
    statement = _INSERT if known is None else _UPDATE
    return int(connection.execute(text(statement), {**profile, **sealed, "id": known}).scalar_one())


def _known(connection: Connection, profile: dict[str, Any]) -> int | None:
    """The row of this account: by its `account_id`, which never changes, else by its user id."""
    near = [
        each
        for each in list_accounts(connection)
        if each.spotify_user_id == profile["spotify_user_id"] or is_profile_of(each, profile)
    ]
    if len(near) == 1 and is_profile_of(near[0], profile):
        return near[0].id
    if near:
        raise Fatal(
            f"Spotify gives the user id {profile['spotify_user_id']} to another account now than when it was added "
            f"here. Remove the one that is not needed any more: spotisync accounts remove, one of "
            f"{', '.join(each.spotify_user_id for each in near)}; then: {oauth.LOGIN}"
        )
    return None


_INSERT = """INSERT INTO accounts (spotify_user_id, spotify_account_id, display_name, refresh_token, access_token,
        access_token_expires_at, scope, authorised_at)
    VALUES (:spotify_user_id, :spotify_account_id, :display_name, :refresh_token, :access_token,
        now() + make_interval(secs => :expires_in), :scope, COALESCE(:authorised_at, now()))
    RETURNING id"""
_UPDATE = """UPDATE accounts SET spotify_user_id = :spotify_user_id, display_name = :display_name, status = 'active',
        spotify_account_id = COALESCE(:spotify_account_id, spotify_account_id), refresh_token = :refresh_token,
        access_token = :access_token, access_token_expires_at = now() + make_interval(secs => :expires_in),
        scope = :scope, authorised_at = COALESCE(:authorised_at, now()), last_error = NULL, refresh_claim = NULL,
        refresh_claim_until = NULL, updated_at = now()
    WHERE id = :id RETURNING id"""


@dataclass(frozen=True)
class StoredTokens:
    """Sealed as they are stored. `fresh`: the access token has some life left."""

    status: str
    refresh_token: str | None
    access_token: str | None
    fresh: bool
    last_error: str | None


def get_tokens(connection: Connection, account_id: int) -> StoredTokens:
    row = connection.execute(
        text(
            f"""SELECT status, refresh_token, access_token, last_error, COALESCE(access_token_expires_at >
                now() + make_interval(secs => LEAST({MARGIN_SECONDS}, EXTRACT(epoch FROM
                    access_token_expires_at - updated_at) / 10)), false) AS fresh
            FROM accounts WHERE id = :id"""
        ),
        {"id": account_id},
    ).one()
    return StoredTokens(**row._mapping)  # noqa: SLF001


def check_key(connection: Connection, vault: TokenVault) -> None:
    """Raises `Misconfigured` if a stored login can't be opened with these keys."""
    for (sealed,) in connection.execute(text("SELECT refresh_token FROM accounts WHERE refresh_token IS NOT NULL")):
        vault.decrypt(sealed)


def get_scope(connection: Connection, account_id: int) -> str | None:
    """What was granted, as Spotify said it; None if that was never noted."""
    found: str | None = connection.execute(
        text("SELECT scope FROM accounts WHERE id = :id"), {"id": account_id}
    ).scalar_one()
    return found


def claim_refresh(connection: Connection, account_id: int, token: UUID) -> bool:
    """One refresh at a time. Not a row lock: no transaction is open while Spotify is asked."""
    return (
        connection.execute(
            text(
                f"""UPDATE accounts SET refresh_claim = :token,
                    refresh_claim_until = now() + make_interval(secs => {REFRESH_SECONDS})
                WHERE id = :id AND (refresh_claim IS NULL OR refresh_claim_until <= now())"""
            ),
            {"id": account_id, "token": token},
        ).rowcount
        == 1
    )


def store_refreshed(connection: Connection, account_id: int, used: str, sealed: dict[str, Any]) -> bool:
    """The rotated refresh token is committed before the access token that came with it is used.

    `used` is the sealed refresh token that was sent; false if another one is stored meanwhile, which then is the newer.
    """
    return (
        connection.execute(
            text(
                """UPDATE accounts SET access_token = :access_token, scope = COALESCE(:scope, scope),
                    access_token_expires_at = now() + make_interval(secs => :expires_in), updated_at = now(),
                    refresh_token = COALESCE(:refresh_token, refresh_token),
                    -- Somebody may have sent the same token later, and been refused for that.
                    status = CASE status WHEN 'needs_login' THEN 'active' ELSE status END, last_error = NULL,
                    refresh_claim = NULL, refresh_claim_until = NULL WHERE id = :id AND refresh_token = :used"""
            ),
            {"id": account_id, "used": used, **sealed},
        ).rowcount
        == 1
    )


def end_refresh(connection: Connection, account_id: int, token: UUID) -> None:
    """Refreshing failed for now; somebody else may try."""
    connection.execute(
        text(
            """UPDATE accounts SET refresh_claim = NULL, refresh_claim_until = NULL
            WHERE id = :id AND refresh_claim = :token"""
        ),
        {"id": account_id, "token": token},
    )


def mark_needs_login(connection: Connection, account_id: int, used: str, why: str) -> bool:
    """Spotify refused the refresh token `used` (sealed). False: another one is stored meanwhile, and may be good."""
    return (
        connection.execute(
            text(
                """UPDATE accounts SET status = 'needs_login', last_error = :why, access_token = NULL,
                    refresh_claim = NULL, refresh_claim_until = NULL, updated_at = now()
                WHERE id = :id AND refresh_token = :used"""
            ),
            {"id": account_id, "used": used, "why": why},
        ).rowcount
        == 1
    )


def set_status(connection: Connection, account_id: int, status: str) -> None:
    connection.execute(
        text("UPDATE accounts SET status = :status, updated_at = now() WHERE id = :id"),
        {"status": status, "id": account_id},
    )


OWNED_TABLES = {
    "saved tracks": schema.saved_tracks,
    "saved albums": schema.saved_albums,
    "followed artists": schema.followed_artists,
    "playlists": schema.account_playlists,
    "plays": schema.play_history,
    "runs": schema.sync_history,
}


def count_rows(connection: Connection, account_id: int) -> dict[str, int]:
    """How many rows `remove` would delete, by kind; rows marked as removed are included."""
    counts = ", ".join(f"(SELECT count(*) FROM {table} WHERE account_id = :id)" for table in OWNED_TABLES.values())
    row = connection.execute(text(f"SELECT {counts}"), {"id": account_id}).one()
    return dict(zip(OWNED_TABLES, row, strict=True))


def remove(connection: Connection, account_id: int) -> None:
    """Delete the account with all that is its own; the catalogue, which accounts share, stays."""
    connection.execute(text("DELETE FROM accounts WHERE id = :id"), {"id": account_id})
