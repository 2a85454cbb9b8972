"""The history is right although workers are killed while they write it."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.truth import expected
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

KILLED = [("full", "after_fetch tracks"), ("incremental", "after_fetch tracks"), ("full", "before_publish tracks")]


@pytest.mark.slow
def test_as_of_queries_are_right_after_kill_9_in_every_run(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
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
        wait_until(lambda: not orders.exists(), f"the kill {order}")
        assert result.get(timeout=60)["status"] == "success"
        known[deployment.scalar("SELECT clock_timestamp()")] = expected(world.truth(account.name))["saved_tracks"]
        for _ in range(4):
            world.edit("unlike")
            world.edit("like")
        world.clock_offset += 120
    for at, truth in known.items():
        rows = deployment.sql("SELECT track_id, added_at FROM library_as_of((SELECT id FROM accounts), :at)", at=at)
        assert {row.track_id: row.added_at for row in rows} == truth


def playlist(deployment: Deployment, id_: str, at: datetime) -> dict[int, Any]:
    rows = deployment.sql("SELECT * FROM playlist_as_of(:id, :at)", id=id_, at=at)
    return {row.position: (row.kind, row.track_id, row.uri, row.added_at, row.added_by) for row in rows}


def items_of(truth: dict[str, Any], id_: str) -> dict[int, Any]:
    items = expected(truth)["playlist_items"]
    return {at: (kind, track, uri, *rest) for (of, at), (kind, track, uri, _, *rest) in items.items() if of == id_}


@pytest.mark.slow
def test_finds_earlier_contents_of_a_playlist_after_a_worker_kill(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(200)
    account, world = deployment.account(), deployment.simulator.world
    rows = world.truth()["playlists"]
    mine = next(row["id"] for row in rows if row["owner_id"] == account.name and row["access"] == "ok")
    deployment.beat()
    worker = deployment.worker()
    known = {}
    for sync_type in ("full", "incremental", "full"):
        deployment.simulator.control.settings(latency_ms=100)
        result = deployment.foreign.send_task(
            f"spotisync.{sync_type}_sync", kwargs={"account": account.name}, queue="spotisync.sync"
        )
        wait_until(lambda: deployment.sql("SELECT 1 FROM sync_history WHERE claim IS NOT NULL AND seq > 0"), "a batch")
        worker.end()
        deployment.simulator.control.settings(latency_ms=0)
        worker = deployment.worker()
        assert result.get(timeout=60)["status"] == "success"
        known[deployment.scalar("SELECT clock_timestamp()")] = items_of(world.truth(account.name), mine)
        world.edit("add_items", playlist=mine)
        world.clock_offset += 120
    assert len({len(items) for items in known.values()}) == len(known), "each run has another id"
    for at, items in known.items():
        assert playlist(deployment, mine, at) == items
