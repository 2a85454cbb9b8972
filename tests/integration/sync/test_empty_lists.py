"""Lists that Spotify returns without items, once or from now on."""

from collections.abc import Callable
from typing import Any

import pytest

from spotisync.core.listing import MOST_REMOVED_AT_ONCE
from spotisync.simulator import Server, start
from spotisync.sync import Context, accounts
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

TABLES = {
    "/v1/me/tracks": "saved_tracks",
    "/v1/me/albums": "saved_albums",
    "/v1/me/following": "followed_artists",
    "/v1/me/playlists": "account_playlists",
}
Sync = Callable[[Context, Account], dict[str, Any]]


@pytest.mark.parametrize("sync", [driver.full_sync, driver.incremental_sync])
@pytest.mark.parametrize("path", mostly_slow(TABLES, 2))
def test_a_list_that_is_empty_once_loses_no_row(
    path: str, sync: Sync, context: Context, simulator: Server, account: Account
) -> None:
    driver.full_sync(context, account)
    simulator.control.add_fault(kind="empty_list", path=path)
    summary = sync(context, account)
    assert simulator.control.faults()[0]["struck"] == 1
    assert (summary["status"], summary["items_removed"]) == ("success", 0)
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.mark.parametrize("sync", [driver.full_sync, driver.incremental_sync])
def test_a_short_list_that_is_empty_once_loses_no_track(sync: Sync, make_context: Callable[..., Context]) -> None:
    """It is too short for the rule that holds a removal of most rows."""
    with start(12, seed=7) as simulator:
        context = make_context(simulator)
        account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
        driver.full_sync(context, account)
        stored = Store(context.database).one("SELECT count(*) FROM saved_tracks WHERE removed_at IS NULL")
        assert 0 < stored <= MOST_REMOVED_AT_ONCE
        simulator.control.add_fault(kind="empty_list", path="/v1/me/tracks")
        summary = sync(context, account)
        assert simulator.control.faults()[0]["struck"] == 1
        assert (summary["status"], summary["items_removed"]) == ("success", 0)
        assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.mark.parametrize("sync", [driver.full_sync, driver.incremental_sync])
@pytest.mark.parametrize("path", mostly_slow(TABLES, 2))
def test_a_list_that_is_empty_in_two_readings_is_removed(
    path: str, sync: Sync, context: Context, simulator: Server, account: Account
) -> None:
    driver.full_sync(context, account)
    store = Store(context.database)
    live = f"SELECT count(*) FROM {TABLES[path]} WHERE removed_at IS NULL"
    rows = store.one(live)
    simulator.control.add_fault(kind="empty_list", path=path, times=None)
    summary = sync(context, account)
    assert summary["status"] == "success"
    if rows > MOST_REMOVED_AT_ONCE:
        assert (summary["items_deferred"], store.one(live)) == (rows, rows)
        assert sync(context, account)["status"] == "success"
    assert store.one(live) == 0
