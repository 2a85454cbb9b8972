"""Incrementals with the real code and tables: their cost, and tables == truth afterwards."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from sqlalchemy import text

from spotisync.simulator import Server, start
from spotisync.store import pending_lookups
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth


def calls(server: Server, context: Context, account: Account) -> tuple[int, dict[str, Any]]:
    server.control.reset_log()
    summary = driver.incremental_sync(context, account)
    assert summary["status"] == "success"
    return len([each for each in server.control.requests() if each["path"].startswith("/v1/")]), summary


def test_the_first_incremental_reads_everything(context: Context, simulator: Server, account: Account) -> None:
    summary = driver.incremental_sync(context, account)
    assert (summary["status"], summary["sync_type"]) == ("success", "incremental")
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


def test_an_incremental_right_after_a_full_sync_writes_nothing(
    context: Context, simulator: Server, account: Account
) -> None:
    driver.full_sync(context, account)
    spent, summary = calls(simulator, context, account)
    assert (summary["items_added"], summary["items_updated"], summary["items_removed"]) == (0, 0, 0)
    assert spent <= 14
    assert calls(simulator, context, account)[0] <= 6
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


def test_reads_the_head_again_after_new_tracks_of_several_pages(
    context: Context, simulator: Server, account: Account
) -> None:
    """A track of the first page may have been removed before the second page was read."""
    driver.full_sync(context, account)
    for _ in range(55):
        simulator.world.edit("like")
    simulator.control.reset_log()
    assert driver.incremental_sync(context, account)["items_added"] >= 55
    queries = [each["query"] for each in simulator.control.requests() if each["path"] == "/v1/me/tracks"]
    assert [int(parse_qs(query)["offset"][0]) for query in queries] == [0, 50, 0]


@pytest.mark.parametrize(
    ("path", "phase"), [("/v1/me/tracks", "tracks"), ("/v1/me/playlists", "playlists"), ("/v1/playlists/", "playlists")]
)
def test_look_ups_blocked_for_long_are_deferred_and_counted(
    path: str, phase: str, context: Context, simulator: Server, account: Account
) -> None:
    driver.full_sync(context, account)
    for _ in range(3):
        simulator.world.edit("like")
        simulator.world.edit("create_playlist")
        simulator.world.random_edit(ops=["add_items"])
    simulator.world.clock_offset += 120
    fault = simulator.control.add_fault(kind="status", status=429, retry_after=86_400, path=path, times=None)
    summary = driver.incremental_sync(context, account)
    assert fault
    assert summary["status"] == "success"
    assert summary["phases"][phase]["items_deferred"] > 0
    assert summary["items_deferred"] > 0
    simulator.control.clear_faults()
    with context.database.begin() as connection:
        connection.execute(text("DELETE FROM rate_limits"))
    assert driver.incremental_sync(context, account)["items_deferred"] == 0
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


def test_rows_that_are_read_again_count_once(make_context: Callable[..., Context]) -> None:
    with start(300, seed=4, quirks=False) as simulator:
        context = make_context(simulator)
        account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
        driver.full_sync(context, account)
        edits = iter(range(6))

        def like(run: Run) -> None:
            if run.phase == "tracks" and next(edits, None) is not None:
                simulator.world.edit("like")

        run = runs.trigger(context, account.name, "incremental", "cli").run
        summary = driver.run_to_end(context, run, before=like)
        phases = summary["phases"]
        assert phases["tracks"]["items_processed"] == phases["tracks"]["total_items"] == 306
        assert summary["items_processed"] == sum(phase["items_processed"] for phase in phases.values())


def test_look_ups_are_made_although_contents_are_deferred(
    context: Context, simulator: Server, account: Account
) -> None:
    store = Store(context.database)
    simulator.control.add_fault(status=429, retry_after=86_400, path=r"/items\?", after=5, times=None)
    run = runs.trigger(context, account.name, "incremental", "cli").run
    while driver.get_run(context, run).phase != "finish":
        driver.step(context, run)
    phases = driver.summary(context, run)["phases"]
    unread = store.one("SELECT count(*) FROM account_playlists WHERE tried_sync_id IS NULL")
    assert phases["playlists"]["items_deferred"] == unread > 0
    with context.database.begin() as connection:
        assert pending_lookups.count_stubs(connection, run.account_id, "artists") == 0
        assert pending_lookups.count_stubs(connection, run.account_id, "albums") == 0


def test_does_not_request_an_unanswered_id_in_each_incremental(
    context: Context, simulator: Server, account: Account
) -> None:
    driver.full_sync(context, account)
    with context.database.begin() as connection:
        connection.execute(
            text(
                """UPDATE artists SET enrichment = 'stub', enriched_at = NULL, lookup_attempts = 5
                WHERE id = (SELECT min(id) FROM artists WHERE enrichment = 'full')"""
            )
        )
    summary = driver.incremental_sync(context, account)
    assert summary["items_deferred"] == 1
    assert not [each for each in simulator.control.requests() if each["path"].startswith("/v1/artists?")][5:]
    with context.database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM artists WHERE enrichment = 'stub'")).scalar() == 1
    assert driver.full_sync(context, account)["items_deferred"] == 0, "a full sync requests the id again"


def test_calls_saved_equals_the_cost_of_reading_the_lists_again(
    context: Context, simulator: Server, account: Account
) -> None:
    simulator.control.reset_log()
    assert driver.full_sync(context, account)["calls_saved"] is None
    read = Counter(each["family"] for each in simulator.control.requests())
    refused = simulator.control.counters()["statuses"]["playlists"]
    calm = driver.incremental_sync(context, account)
    # Refused requests are not counted, nor the three lists that an incremental reads once a day.
    again = read["library"] - 3 + read["playlists"] - sum(refused[each] for each in refused if each >= "400")
    assert calm["api_calls"] + calm["calls_saved"] == again
    simulator.control.add_fault(kind="status", status=429, retry_after=86_400, family="playlists", times=None)
    without = driver.incremental_sync(context, account)
    assert without["status"] == "success"
    assert without["calls_saved"] == 0, "a deferred list saves nothing"
