"""Old rows are deleted by real workers, beside a sync and across a kill."""

from collections.abc import Callable

import pytest

from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

OLD = 40_000
# A slow server: each piece takes long enough to be interrupted.
SLOW = (
    """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$""",
    "CREATE TRIGGER slow AFTER DELETE ON saved_spans FOR EACH STATEMENT EXECUTE FUNCTION slow()",
)


def add_old_spans(deployment: Deployment) -> None:
    """Ended periods, and a run after them."""
    deployment.sql("INSERT INTO tracks (id, uri) VALUES ('old', 'u')")
    deployment.sql(
        """INSERT INTO sync_history (account_id, sync_type, status, trigger, phase, completed_at)
        SELECT id, 'full', 'success', 'cli', 'finish', now() - interval '60 days' FROM accounts"""
    )
    deployment.sql(
        """INSERT INTO saved_spans (account_id, track_id, added_at, from_at, to_at)
        SELECT id, 'old', now(), now() - interval '90 days', now() - interval '80 days'
        FROM accounts, generate_series(1, :rows)""",
        rows=OLD,
    )


@pytest.mark.slow
def test_a_sync_runs_beside_housekeeping_which_survives_a_kill(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(retention_days=30)
    account = deployment.account()
    add_old_spans(deployment)
    for statement in SLOW:
        deployment.sql(statement)

    def count_old() -> int:
        return int(deployment.scalar("SELECT count(*) FROM saved_spans WHERE track_id = 'old'"))

    def request_housekeeping() -> None:
        deployment.foreign.send_task(
            "spotisync.housekeeping", kwargs={"scheduled": True}, queue="spotisync.housekeeping", ignore_result=True
        )

    worker = deployment.worker()
    request_housekeeping()
    wait_until(lambda: count_old() < OLD, "the first piece")
    sync = deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync")
    assert sync.get(timeout=60)["status"] == "success"
    left = count_old()
    assert left > 0
    worker.end()
    left = count_old()
    deployment.worker()
    request_housekeeping()  # the chain of messages may be alive, so it does nothing
    deployment.sql("UPDATE heartbeats SET beat_at = now() - interval '2 minutes' WHERE name = 'housekeeping'")
    deployment.sql("DROP TRIGGER slow ON saved_spans")
    request_housekeeping()
    wait_until(lambda: count_old() == 0, "the last piece")
    assert left > 0
    deployment.sql("DELETE FROM tracks WHERE id = 'old'")
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))
