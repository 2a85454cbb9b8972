"""Incrementals over the real code and tables: what they cost, and that tables == truth after them."""

from typing import Any

from spotisync.simulator import Server
from spotisync.sync import Sync
from tests import drive
from tests.drive import Account
from tests.truth import assert_tables_equal_truth


def calls(server: Server, sync: Sync, account: Account) -> tuple[int, dict[str, Any]]:
    server.control.reset_log()
    summary = drive.incremental_sync(sync, account)
    assert summary["status"] == "success"
    return len([each for each in server.control.requests() if each["path"].startswith("/v1/")]), summary


def test_the_first_incremental_is_a_whole_walk(sync: Sync, simulator: Server, account: Account) -> None:
    summary = drive.incremental_sync(sync, account)
    assert (summary["status"], summary["sync_type"]) == ("success", "incremental")
    assert_tables_equal_truth(sync, account, simulator.world.truth(account.name))


def test_after_a_full_sync_nothing_is_written(sync: Sync, simulator: Server, account: Account) -> None:
    drive.full_sync(sync, account)
    spent, summary = calls(simulator, sync, account)
    assert (summary["items_added"], summary["items_updated"], summary["items_removed"]) == (0, 0, 0)
    assert spent <= 14
    assert calls(simulator, sync, account)[0] <= 6
    assert_tables_equal_truth(sync, account, simulator.world.truth(account.name))
