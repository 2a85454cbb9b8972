"""Accounts and their tokens: encrypted at rest, refreshed once, with a clear error when a login has ended."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet

from spotisync.errors import Fatal, Misconfigured, NeedsLogin, Transient
from spotisync.simulator import Server, start
from spotisync.spotify.http import Unauthorised
from spotisync.store import accounts
from spotisync.store.accounts import TokenVault
from spotisync.store.database import Connection, Database
from spotisync.sync import Context
from spotisync.sync import accounts as enrol
from spotisync.sync.tokens import AccountAccess, access_token
from tests.support.store import Store

KEYS = [Fernet.generate_key().decode() for _ in range(3)]
REFRESHES = "/api/token"


def refreshes(simulator: Server) -> int:
    return len([each for each in simulator.control.requests() if each["path"] == REFRESHES])


# ---- the vault ------------------------------------------------------------------------------------------------------


def test_an_encrypted_token_differs_and_can_be_decrypted() -> None:
    sealed = TokenVault(KEYS[:1]).encrypt("AQ0secret")
    assert "secret" not in sealed
    assert TokenVault(KEYS[:1]).decrypt(sealed) == "AQ0secret"
    assert TokenVault(KEYS[:1]).encrypt("AQ0secret") != sealed


def test_a_key_put_first_is_used_and_the_old_one_still_decrypts() -> None:
    old = TokenVault(KEYS[:1]).encrypt("AQ0secret")
    both = TokenVault([KEYS[1], KEYS[0]])
    assert both.decrypt(old) == "AQ0secret"
    new = both.encrypt("AQ1secret")
    assert TokenVault([KEYS[1]]).decrypt(new) == "AQ1secret"
    with pytest.raises(Misconfigured):
        TokenVault([KEYS[0]]).decrypt(new)


@pytest.mark.parametrize(
    "sealed",
    [TokenVault(KEYS[1:2]).encrypt("x"), "", "nonsense", "ü"],
    ids=["another key", "empty", "nonsense", "not ascii"],
)
def test_a_wrong_key_is_an_error_with_a_remedy(sealed: str) -> None:
    with pytest.raises(Misconfigured, match="add that key to SPOTISYNC_SECRET_KEY"):
        TokenVault(KEYS[:1]).decrypt(sealed)


@pytest.mark.parametrize("keys", [[], ["short"], [KEYS[0], "ü" * 32], [""]])
def test_an_invalid_key_names_its_variable(keys: list[str]) -> None:
    with pytest.raises(Misconfigured, match="SPOTISYNC_SECRET_KEY"):
        TokenVault(keys)


# ---- accounts -------------------------------------------------------------------------------------------------------


def test_stores_an_account_with_encrypted_tokens(context: Context, simulator: Server, store: Store) -> None:
    token = simulator.refresh_token()
    added = enrol.add(context, token, None)
    ((row,),) = store.sql("SELECT a::text FROM accounts a WHERE id = :id", id=added.id)
    assert token not in row
    sealed = store.one("SELECT refresh_token FROM accounts WHERE id = :id", id=added.id)
    assert context.vault.decrypt(sealed) == token
    assert (added.spotify_user_id, added.status) == (simulator.world.first.id, "active")


def test_adding_an_account_again_replaces_its_tokens(context: Context, simulator: Server, store: Store) -> None:
    first = enrol.add(context, simulator.refresh_token(), None)
    with context.database.begin() as connection:
        used = accounts.get_tokens(connection, first.id).refresh_token
        assert accounts.mark_needs_login(connection, first.id, used or "", "revoked")
    again = enrol.add(context, simulator.refresh_token(), None)
    assert (again.id, again.status, again.last_error) == (first.id, "active", None)


def test_an_account_is_found_by_name_or_as_the_only_one(store: Store) -> None:
    with store.database.begin() as connection:
        assert accounts.find_account(connection, None).spotify_user_id == "me"
        assert accounts.find_account(connection, "me").id == store.account_id
        with pytest.raises(Fatal, match=r"Unknown account 'x'\. Known: me"):
            accounts.find_account(connection, "x")
    store.account("user02")
    with store.database.begin() as connection, pytest.raises(Fatal, match="More than one account"):
        accounts.find_account(connection, None)
    store.sql("DELETE FROM accounts")
    with store.database.begin() as connection, pytest.raises(Fatal, match="spotisync login"):
        accounts.find_account(connection, None)


# ---- access tokens --------------------------------------------------------------------------------------------------


@pytest.fixture
def enrolled(context: Context, simulator: Server) -> int:
    added = enrol.add(context, simulator.refresh_token(), None).id
    simulator.control.reset_log()
    return added


def expire(store: Store) -> None:
    store.sql("UPDATE accounts SET access_token_expires_at = now() - interval '1 second'")


def test_does_not_refresh_a_valid_token(context: Context, simulator: Server, enrolled: int) -> None:
    access = AccountAccess(context, enrolled)
    assert access.token().value == access.token().value == AccountAccess(context, enrolled).token().value
    assert refreshes(simulator) == 0


def test_eight_threads_with_one_expired_token_refresh_once(
    make_context: Callable[..., Context], simulator: Server, enrolled: int, store: Store
) -> None:
    expire(store)
    simulator.control.add_fault(kind="delay", seconds=0.2, path=REFRESHES, times=None)
    processes = [make_context(simulator) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(lambda n: AccountAccess(processes[n % 4], enrolled).token().value, range(8)))
    assert len(set(tokens)) == 1
    assert refreshes(simulator) == 1
    assert processes[0].spotify.get_profile(tokens[0])


def test_eight_threads_with_one_rejected_token_refresh_once(
    make_context: Callable[..., Context], context: Context, simulator: Server, enrolled: int
) -> None:
    rejected = access_token(context, enrolled)
    simulator.control.add_fault(kind="delay", seconds=0.2, path=REFRESHES, times=None)
    processes = [make_context(simulator) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(lambda n: AccountAccess(processes[n % 4], enrolled).token(rejected).value, range(8)))
    assert set(tokens) != {rejected}
    assert len(set(tokens)) == 1
    assert refreshes(simulator) == 1


class Between(Database):
    """A database that calls a function before its second transaction."""

    def __init__(self, url: str, happens: Callable[[], object]) -> None:
        super().__init__(url)
        self._happens = happens
        self._begun = 0

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self._begun += 1
        if self._begun == 2:
            self._happens()
        with super().begin() as connection:
            yield connection


def test_uses_a_refresh_that_finished_before_its_own_claim(
    context: Context, simulator: Server, enrolled: int, store: Store, database_url: str
) -> None:
    expire(store)
    theirs: list[str] = []
    database = Between(database_url, lambda: theirs.append(access_token(context, enrolled)))
    assert [access_token(replace(context, database=database), enrolled)] == theirs
    assert refreshes(simulator) == 1
    assert store.one("SELECT refresh_claim FROM accounts WHERE id = :id", id=enrolled) is None
    database.close()


def test_stores_a_rotated_refresh_token_and_uses_it_next(make_context: Callable[..., Context], store: Store) -> None:
    with start("tiny", refresh_reply="rotate") as simulator:
        context = make_context(simulator)
        added = enrol.add(context, simulator.refresh_token(), None)
        stored = []
        for _ in range(3):
            expire(store)
            assert context.spotify.get_profile(access_token(context, added.id))
            stored.append(
                context.vault.decrypt(store.one("SELECT refresh_token FROM accounts WHERE id = :id", id=added.id))
            )
            assert stored[-1] == simulator.refresh_token()
        assert len(set(stored)) == 3


@pytest.mark.slow
def test_four_processes_refresh_rotating_tokens_once_and_lose_none(
    make_context: Callable[..., Context], store: Store
) -> None:
    with start("tiny", token_life=1, refresh_reply="rotate") as simulator, ThreadPoolExecutor(4) as threads:
        processes = [make_context(simulator) for _ in range(4)]
        added = enrol.add(processes[0], simulator.refresh_token(), None)
        grants = simulator.app.logins._grants
        enough, began = len(grants) + 3, time.monotonic()

        def read(context: Context) -> int:
            access, good = AccountAccess(context, added.id), 0
            while len(grants) < enough and time.monotonic() < began + 60:
                token = access.token().value
                try:
                    good += bool(context.spotify.get_profile(token))
                except Unauthorised:  # the reply of the refresh was lost
                    access.token(rejected=token)
            return good

        assert all(threads.map(read, processes))
        assert len(grants) >= enough
        # A token is used for at least nine tenths of its life.
        assert refreshes(simulator) <= 2 + (time.monotonic() - began) / 0.9
        sealed = store.one("SELECT refresh_token FROM accounts WHERE id = :id", id=added.id)
        assert processes[0].vault.decrypt(sealed) == simulator.refresh_token()


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_an_ended_login_is_recorded_with_a_remedy_and_not_retried(
    context: Context, simulator: Server, enrolled: int, store: Store, how: str
) -> None:
    simulator.control.revoke(how=how)
    expire(store)
    for _ in range(3):
        with pytest.raises(NeedsLogin, match=rf"{how}.*spotisync login"):
            access_token(context, enrolled)
    assert refreshes(simulator) == 1
    found = store.sql("SELECT status, access_token FROM accounts WHERE id = :id", id=enrolled)
    assert found == [("needs_login", None)]


def test_a_refusal_of_a_token_replaced_meanwhile_ends_no_login(
    context: Context, simulator: Server, enrolled: int, store: Store
) -> None:
    """A frozen worker sends the old token after another one has rotated it."""
    simulator.control.settings(refresh_reply="rotate")
    expire(store)
    used = store.one("SELECT refresh_token FROM accounts WHERE id = :id", id=enrolled)
    assert access_token(context, enrolled)
    with store.database.begin() as connection:
        assert not accounts.mark_needs_login(connection, enrolled, used, "revoked")
    expire(store)
    assert access_token(context, enrolled)


def test_a_late_rotated_token_undoes_the_refusal_of_the_old_one(
    context: Context, simulator: Server, enrolled: int, store: Store
) -> None:
    simulator.control.settings(refresh_reply="rotate")
    used = store.one("SELECT refresh_token FROM accounts WHERE id = :id", id=enrolled)
    grant = context.default_app.accounts_client.refresh(context.vault.decrypt(used))
    expire(store)
    with pytest.raises(NeedsLogin):
        access_token(context, enrolled)
    assert grant.refresh_token
    sealed = {
        "access_token": context.vault.encrypt(grant.access_token),
        "refresh_token": context.vault.encrypt(grant.refresh_token),
    }
    with store.database.begin() as connection:
        assert accounts.store_refreshed(connection, enrolled, used, {**sealed, "expires_in": 3600, "scope": None})
    assert access_token(context, enrolled) == grant.access_token


@pytest.mark.parametrize("rule", [{"status": 503}, {"kind": "reset"}, {"kind": "garbage"}])
def test_a_temporary_refresh_error_ends_no_login_and_blocks_no_retry(
    context: Context, simulator: Server, enrolled: int, store: Store, rule: dict[str, Any]
) -> None:
    expire(store)
    simulator.control.add_fault(path=REFRESHES, **rule)
    with pytest.raises(Transient):
        access_token(context, enrolled)
    assert store.one("SELECT refresh_claim FROM accounts WHERE id = :id", id=enrolled) is None
    assert context.spotify.get_profile(access_token(context, enrolled))


def test_takes_over_a_refresh_whose_process_died(context: Context, enrolled: int, store: Store) -> None:
    expire(store)
    store.sql(
        """UPDATE accounts SET refresh_claim = gen_random_uuid(), refresh_claim_until = now() + interval '0.2 seconds'
        WHERE id = :id""",
        id=enrolled,
    )
    assert context.spotify.get_profile(access_token(context, enrolled))


def test_refreshes_a_token_shortly_before_it_expires(
    context: Context, simulator: Server, enrolled: int, store: Store
) -> None:
    store.sql(
        """UPDATE accounts SET access_token_expires_at = now() + interval '20 seconds',
        updated_at = now() - interval '1 hour'"""
    )
    access_token(context, enrolled)
    assert refreshes(simulator) == 1


def test_uses_a_short_lived_token_for_most_of_its_life(make_context: Callable[..., Context], store: Store) -> None:
    with start("tiny", token_life=5) as simulator:
        context = make_context(simulator)
        added = enrol.add(context, simulator.refresh_token(), None)
        simulator.control.reset_log()
        access_token(context, added.id)
        assert refreshes(simulator) == 0


def test_a_lost_key_is_an_error_and_blocks_no_other_process(
    make_context: Callable[..., Context], context: Context, simulator: Server, enrolled: int, store: Store
) -> None:
    expire(store)
    with pytest.raises(Misconfigured, match="SPOTISYNC_SECRET_KEY"):
        access_token(make_context(simulator, secret_key=KEYS[0]), enrolled)
    assert store.one("SELECT refresh_claim FROM accounts WHERE id = :id", id=enrolled) is None
    assert access_token(make_context(simulator, secret_key=f"{KEYS[0]},{context.settings.secret_key}"), enrolled)
