"""Playback with real workers: it continues while the library waits."""

from collections.abc import Callable
from typing import Any

import pytest
from celery.result import AsyncResult

from spotisync.celery import app
from tests.support.plays import assert_plays_are_true
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

Deploy = Callable[..., Deployment]


def test_plays_have_their_own_queue() -> None:
    assert app.conf.task_routes["spotisync.track_playback"] == {"queue": "spotisync.playback"}
    assert "spotisync.playback" in {queue.name for queue in app.conf.task_queues}


def read(deployment: Deployment) -> dict[str, Any]:
    result: AsyncResult[Any] = deployment.foreign.send_task("spotisync.track_playback", queue="spotisync.playback")
    found: dict[str, Any] = result.get(timeout=60)
    return found


@pytest.mark.slow
def test_reads_plays_during_a_sync_and_while_the_library_waits(deploy: Deploy) -> None:
    deployment = deploy(120)
    account, control = deployment.account(), deployment.simulator.control
    held = control.add_fault(kind="hold", path="/v1/me/tracks", after=1)
    control.add_fault(kind="status", status=429, retry_after=86_400, path="/v1/me/tracks", after=2, times=None)
    deployment.worker(concurrency=2)
    for _ in range(3):
        deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync")
    wait_until(control.held_requests, "a held batch")
    assert read(deployment)["plays_added"] == 50
    assert control.held_requests(), "the batch still runs"
    control.clear_faults(held)
    control.release()
    wait_until(
        lambda: deployment.sql("SELECT 1 FROM sync_history WHERE status = 'rate_limited'"), "the run to be parked"
    )
    control.reset_log()
    played = [control.edit("play") for _ in range(3)]
    done = read(deployment)
    assert (done["plays_added"], done["gap"], done["accounts"][0]["error"]) == (len(played), None, None)
    assert [each["family"] for each in control.requests()] == ["player"]
    assert deployment.scalar("SELECT status FROM sync_history") == "rate_limited"
    recent = deployment.simulator.world.truth(account.name)["plays"][-53:]
    assert_plays_are_true(deployment.context.database, account, recent)
