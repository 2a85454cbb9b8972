"""A cursor that a newer version has stored: an unfinished run after a downgrade, or during a rolling upgrade."""

import json

import pytest

from spotisync.core.outcomes import Retry, RunEnded
from spotisync.simulator import Server
from spotisync.sync import Context, runs
from spotisync.sync.batch import MOST_FAILURES
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

POSITION = {"position": 0, "total": None, "step_back": 0}
WALK = {"stage": "walk", "part": "list", "newest": None, "walk": POSITION}
NEWER = [
    {**WALK, "new_field": 1},
    {**WALK, "walk": {**POSITION, "new_field": 1}},
    {"stage": "new_stage"},
    {},
]


@pytest.mark.parametrize("cursor", NEWER, ids=str)
def test_a_run_with_an_unknown_cursor_fails_and_can_be_resumed(
    cursor: dict[str, object], context: Context, simulator: Server, account: Account
) -> None:
    store = Store(context.database)
    run = driver.start(context, account)
    store.sql("UPDATE sync_state SET cursor = CAST(:c AS jsonb) WHERE entity_type = 'tracks'", c=json.dumps(cursor))
    for number in range(1, MOST_FAILURES):
        outcome = driver.step(context, run)
        assert isinstance(outcome, Retry)
        assert store.one("SELECT failures FROM sync_state WHERE entity_type = 'tracks'") == number
        driver.expire_waits(context, run)
    outcome = driver.step(context, run)
    assert isinstance(outcome, RunEnded)
    ended = driver.get_run(context, run)
    assert ended.status == "failed"
    assert "another version of spotisync" in str(ended.last_error)
    assert f"spotisync resume {run.id}" in str(ended.last_error)
    assert store.one("SELECT cursor FROM sync_state WHERE entity_type = 'tracks'") == cursor
    store.sql("UPDATE sync_state SET cursor = NULL WHERE entity_type = 'tracks'")  # as the right version reads it
    runs.resume(context, run.id)
    assert driver.run_to_end(context, run)["status"] == "success"
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))
