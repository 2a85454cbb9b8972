"""PostgreSQL answers "disk full" (53100) in the middle of a batch: nothing is lost, and the work continues later."""

import pytest

from spotisync.errors import Unavailable
from spotisync.simulator import Server
from spotisync.sync import Context
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

TABLES = ["tracks", "saved_tracks", "track_artists", "followed_artists", "playlist_items", "sync_state", "sync_history"]


@pytest.mark.parametrize("table", mostly_slow(TABLES, 4))
def test_a_full_disk_during_a_batch_delays_the_run(
    context: Context, simulator: Server, account: Account, table: str
) -> None:
    store = Store(context.database)
    run = driver.start(context, account)
    store.sql(
        """CREATE FUNCTION fill_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100';
        END $$"""
    )
    moment = (
        "AFTER UPDATE OF cursor"
        if table == "sync_state"
        else "AFTER UPDATE OF seq"
        if table == "sync_history"
        else "AFTER INSERT"
    )
    store.sql(f"CREATE TRIGGER full_disk {moment} ON {table} EXECUTE FUNCTION fill_disk()")
    try:
        with pytest.raises(Unavailable, match=r"disk of the database is full .*No space left.*free space") as full:
            driver.run_to_end(context, run)
        assert "\n" not in str(full.value)
        before = driver.get_run(context, run)
        assert (before.status, before.last_error) == ("in_progress", None)
    finally:
        store.sql("DROP FUNCTION fill_disk CASCADE")
    driver.expire_waits(context, run)
    assert driver.run_to_end(context, run)["status"] == "success"
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))
