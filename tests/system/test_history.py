"""History is right although workers are killed while it is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.programs import Deployment, until
from tests.truth import expected

KILLED = [("full", "after_fetch tracks"), ("incremental", "after_fetch tracks"), ("full", "before_publish tracks")]


@pytest.mark.slow
def test_as_of_answers_after_kill_9_in_every_run(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    deployment = deploy(200)
    account, world, orders = deployment.account(), deployment.simulator.world, tmp_path / "crash"
    deployment.beat()
    deployment.worker("tests.system.crashing", CRASH_FILE=str(orders))
    known = {}
    for sync_type, order in KILLED:
        orders.write_text(order)
        result = deployment.foreign.send_task(
            f"spotisync.{sync_type}_sync", kwargs={"account": account.name}, queue="spotisync.sync"
        )
        until(lambda: not orders.exists(), f"the kill {order}")
        assert result.get(timeout=60)["status"] == "success"
        known[deployment.scalar("SELECT clock_timestamp()")] = expected(world.truth(account.name))["saved_tracks"]
        for _ in range(4):
            world.edit("unlike")
            world.edit("like")
        world.clock_offset += 120
    for at, truth in known.items():
        rows = deployment.sql("SELECT track_id, added_at FROM library_as_of((SELECT id FROM accounts), :at)", at=at)
        assert {row.track_id: row.added_at for row in rows} == truth
