"""The scheduler and a worker notify a user; losing all data of the broker causes no second notification."""

import json
from collections.abc import Callable

import pytest
import redis

from tests.integration.test_notifications import Hook
from tests.support.waiting import wait_until
from tests.system.programs import Deployment


@pytest.mark.slow
def test_the_worker_notifies_once_of_a_failed_sync_despite_flushall(
    deploy: Callable[..., Deployment],
) -> None:
    hook = Hook()
    try:
        deployment = deploy(20, notify=hook.url)
        account = deployment.account()
        deployment.simulator.control.add_fault(status=403, message="Active premium subscription required", times=None)
        deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync")
        deployment.worker(concurrency=1)
        deployment.beat()
        wait_until(lambda: hook.received, "a notification")
        assert "premium" in hook.received[0]["message"]
        number = int(deployment.settings.broker.rpartition("=")[2])
        socket = deployment.settings.broker.partition("://")[2].partition("?")[0]
        with redis.Redis(unix_socket_path=socket, db=number) as broker:
            broker.flushdb()
        for _ in range(3):
            deployment.foreign.send_task("spotisync.tell", queue="spotisync.control")
        wait_until(lambda: deployment.logs().count("Task spotisync.tell") >= 8, "eight runs of the notification task")
        assert hook.titles == [f"sync of {account.name} failed"]
        assert "t0ps3cret" not in deployment.logs()
    finally:
        hook.close()


@pytest.mark.slow
def test_each_log_line_of_a_batch_names_its_run(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(120)
    account = deployment.account()
    worker = deployment.worker(concurrency=1, SPOTISYNC_LOG_FORMAT="json")
    deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync")
    wait_until(
        lambda: deployment.scalar("SELECT count(*) FROM sync_history WHERE status = 'success'"), "the run to succeed"
    )
    wait_until(lambda: '"Task spotisync.finish[' in worker.log.read_text(), "the last log line of the run")
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    of_batches = [
        line
        for line in lines
        if line["logger"].startswith("spotisync.sync.")
        or (line["logger"] == "celery.app.trace" and "spotisync.batch" in line["message"])
    ]
    assert {line["phase"] for line in of_batches} == {"tracks", "artists", "albums", "playlists"}
    assert {(line["run"], line["account"]) for line in of_batches} == {(1, account.name)}
    assert all(isinstance(line["batch"], int) and line["task_id"] for line in of_batches)
    received = [line for line in lines if line["logger"] == "celery.worker.strategy"]
    assert all(line["task_id"] in line["message"] for line in received)
