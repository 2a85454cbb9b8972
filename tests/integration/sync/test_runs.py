"""The sweep deletes old records, whatever else is due."""

import pytest

from spotisync.simulator import Server
from spotisync.sync import Context, runs
from spotisync.sync.enrich import enrich
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store

OLD_CALLS = """INSERT INTO call_ledger
    SELECT 'simulated', 'library', date_trunc('minute', now()) - make_interval(days => n), 1, 1
    FROM generate_series(10, 400) n"""
OLD_STATUSES = """INSERT INTO reply_statuses (client_id, endpoint, day, status, replies)
    SELECT 'simulated', 'saved_tracks', current_date - n, 200, 1 FROM generate_series(40, 400) n"""


@pytest.mark.parametrize("regime", ["full", "restricted"])
def test_a_scheduled_sweep_deletes_old_records_of_calls(
    context: Context, simulator: Server, account: Account, regime: str
) -> None:
    store = Store(context.database)
    simulator.control.settings(regime=regime)
    store.sql(OLD_CALLS)
    store.sql(OLD_STATUSES)
    driver.full_sync(context, account)
    while enrich(context).more:
        pass
    used = store.one("SELECT sum(calls) FROM call_ledger WHERE minute > now() - interval '1 day'")
    runs.take_due_runs(context)
    runs.take_due_runs(context, scheduled=True)
    assert store.one("SELECT min(minute) > now() - interval '4 days' FROM call_ledger")
    assert store.one("SELECT min(day) > current_date - 32 FROM reply_statuses")
    assert store.one("SELECT sum(calls) FROM call_ledger") == used
    store.sql(OLD_CALLS)
    runs.take_due_runs(context, scheduled=True)
    assert store.one("SELECT count(*) FROM call_ledger WHERE minute < now() - interval '9 days'") == 391, "hourly"
