"""A removal of most rows of a list at once is held until another run finds the same or a person confirms it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spotisync import status
from spotisync.errors import Fatal, NeedsLogin, Unknown
from spotisync.simulator import Server, start
from spotisync.sync import Context, accounts, removals, runs
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

TRACKS = "/v1/me/tracks"
LIVE = "SELECT count(*) FROM saved_tracks WHERE removed_at IS NULL"
HELD = "SELECT count(*) FROM listings WHERE held_rows IS NOT NULL OR removal_confirmed"


@pytest.fixture
def server() -> Iterator[Server]:
    with start(120, seed=7) as server:
        yield server


@pytest.fixture
def context(make_context: Callable[..., Context], server: Server) -> Context:
    return make_context(server)


@pytest.fixture
def account(context: Context, server: Server) -> Account:
    return Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.database)


@pytest.fixture
def live(context: Context, server: Server, account: Account, store: Store) -> int:
    """The number of saved tracks, all of which Spotify no longer lists; the removal is held."""
    driver.full_sync(context, account)
    found: int = store.one(LIVE)
    server.control.add_fault(kind="empty_list", path=TRACKS, times=None)
    assert driver.full_sync(context, account)["items_removed"] == 0
    assert store.one(LIVE) == found > 20
    return found


def document(context: Context, account: Account) -> dict[str, Any]:
    with context.database.begin() as connection:
        (found,) = status.documents(connection, context.settings, account.name)
    return found


def list_held(found: dict[str, Any]) -> list[tuple[str, int, bool]]:
    return [(each["id"], each["rows"], each["confirmed"]) for each in found["deferred"] if each["kind"] == "removal"]


def test_the_sync_of_a_confirmation_removes_the_rows(
    context: Context, account: Account, live: int, store: Store
) -> None:
    before = document(context, account)
    (held,) = list_held(before)
    assert held == ("saved_tracks", live, False)
    assert before["can"]["confirm_removal"]
    assert any(f"{live:,} saved tracks" in note and "confirm-removal" in note for note in before["notes"])

    confirmed = removals.confirm(context, account.name, "cli")
    assert confirmed.rows == {"saved_tracks": live}
    assert (confirmed.triggered.created, confirmed.triggered.run.sync_type) == (True, "incremental")
    during = document(context, account)
    assert (list_held(during), during["can"]["confirm_removal"]) == ([("saved_tracks", live, True)], False)
    assert any("is confirmed" in note for note in during["notes"])
    assert not any("confirm-removal" in note for note in during["notes"])

    summary = driver.run_to_end(context, confirmed.triggered.run)
    assert (summary["status"], summary["items_removed"], store.one(LIVE), store.one(HELD)) == ("success", live, 0, 0)
    assert list_held(document(context, account)) == []


@pytest.mark.parametrize("sync", [driver.full_sync, driver.incremental_sync])
def test_the_next_sync_that_finds_the_same_removes_the_rows(
    sync: Callable[..., dict[str, Any]], context: Context, account: Account, live: int, store: Store
) -> None:
    assert sync(context, account)["items_removed"] == live
    assert (store.one(LIVE), store.one(HELD)) == (0, 0)


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("sync", mostly_slow([driver.full_sync, driver.incremental_sync]))
def test_nothing_is_removed_when_the_list_is_back(
    sync: Callable[..., dict[str, Any]],
    confirmed: bool,
    context: Context,
    server: Server,
    account: Account,
    live: int,
    store: Store,
) -> None:
    server.control.clear_faults()
    if confirmed:
        driver.run_to_end(context, removals.confirm(context, account.name, "cli").triggered.run)
    else:
        assert sync(context, account)["items_removed"] == 0
    assert (store.one(LIVE), store.one(HELD)) == (live, 0)
    assert_tables_equal_truth(context, account, server.world.truth(account.name))
    server.control.add_fault(kind="empty_list", path=TRACKS, times=None)
    sync(context, account)
    assert store.one(LIVE) == live, "the old confirmation does not count"


def test_a_joined_run_that_has_held_it_leaves_the_removal_to_the_next(
    context: Context, server: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    live = store.one(LIVE)
    server.control.add_fault(kind="empty_list", path=TRACKS, times=None)
    run = driver.start(context, account)
    while not store.one(HELD):
        driver.step(context, run)
    confirmed = removals.confirm(context, account.name, "cli")
    assert (confirmed.triggered.created, confirmed.triggered.run.id) == (False, run.id)
    assert driver.run_to_end(context, run)["items_removed"] == 0
    assert driver.incremental_sync(context, account)["items_removed"] == live


def test_a_refused_confirmation_changes_nothing(context: Context, account: Account, live: int, store: Store) -> None:
    before = store.one("SELECT count(*) FROM sync_history")
    with pytest.raises(Unknown):
        removals.confirm(context, "nobody", "cli")
    store.sql("UPDATE accounts SET status = 'needs_login'")
    with pytest.raises(NeedsLogin):
        removals.confirm(context, account.name, "cli")
    assert "log in" in document(context, account)["can"]["why_not"]["confirm_removal"]
    store.sql("UPDATE accounts SET status = 'active'")
    assert list_held(document(context, account)) == [("saved_tracks", live, False)]
    driver.run_to_end(context, removals.confirm(context, account.name, "cli").triggered.run)
    with pytest.raises(Fatal, match="has to be confirmed"):
        removals.confirm(context, account.name, "cli")
    assert store.one("SELECT count(*) FROM sync_history") == before + 1, "no sync was started"


def test_confirming_twice_is_no_error(context: Context, account: Account, live: int) -> None:
    first, second = (removals.confirm(context, account.name, "cli") for _ in range(2))
    assert (second.rows, second.triggered.created) == ({"saved_tracks": live}, False)
    assert second.triggered.run.id == first.triggered.run.id
    assert driver.run_to_end(context, runs.resume(context, first.triggered.run.id).run)["items_removed"] == live
