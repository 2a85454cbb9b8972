"""Servers and workers die or freeze during a run; the run completes, and tables == truth."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.result import AsyncResult

from spotisync.stack.postgres import Postgres
from spotisync.stack.valkey import Valkey
from spotisync.store import migrate
from tests.conftest import QUICK
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

Deploy = Callable[..., Deployment]


@pytest.fixture
def own_postgres(own_place: Path) -> Iterator[Postgres]:
    postgres = Postgres(own_place / "data", own_place / "run", QUICK).start().wait_ready()
    migrate.upgrade(postgres.url)
    yield postgres
    postgres.stop()


def trigger(deployment: Deployment, account: Account) -> "AsyncResult[Any]":
    return deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync")


def under_way(deployment: Deployment, batches: int) -> bool:
    return bool(deployment.sql("SELECT 1 FROM sync_state GROUP BY sync_id HAVING sum(batches) >= :n", n=batches))


def over(deployment: Deployment) -> bool:
    return bool(deployment.sql("SELECT 1 FROM sync_history WHERE status = 'success'"))


def check_truth(deployment: Deployment, account: Account) -> None:
    assert deployment.sql("SELECT status, last_error FROM sync_history") == [("success", None)]
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


def slow(deployment: Deployment) -> None:
    """Slow the simulator down, so that a test can act during the run."""
    deployment.simulator.control.settings(latency_ms=60)


def test_a_sync_survives_repeated_kills_of_the_worker(deploy: Deploy) -> None:
    deployment = deploy()
    account = deployment.account()
    slow(deployment)
    deployment.beat()
    worker = deployment.worker()
    result = trigger(deployment, account)
    for batches in (3, 9):
        wait_until(partial(under_way, deployment, batches), "batches")
        worker.kill()
        worker = deployment.worker()
    assert result.get(timeout=90)["status"] == "success"
    check_truth(deployment, account)


def test_pool_children_end_with_their_worker(deploy: Deploy) -> None:
    worker = deploy().worker()
    children = worker.children()
    assert children
    worker.kill()
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() and _state(pid) != "Z" for pid in children), "the children to end"
    )


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


@pytest.mark.slow
@pytest.mark.parametrize("data_lost", [False, True])
def test_the_worker_survives_a_broker_kill_during_a_batch(
    data_lost: bool, deploy: Deploy, own_valkey: Valkey, own_place: Path
) -> None:
    deployment = deploy(broker=f"redis+socket://{own_place}/run/valkey.sock?virtual_host=0")
    account = deployment.account()
    slow(deployment)
    deployment.beat()
    worker = deployment.worker()
    trigger(deployment, account)
    wait_until(lambda: under_way(deployment, 3), "batches")
    own_valkey.kill()
    if data_lost:
        for file in (own_place / "data").rglob("*.aof"):
            file.unlink()
        for file in (own_place / "data").rglob("*.manifest"):
            file.unlink()
    batches = deployment.scalar("SELECT sum(batches) FROM sync_state")
    wait_until(lambda: "Connection" in worker.log.read_text() or batches, "the worker to notice the loss")
    own_valkey.start().wait_ready()
    wait_until(lambda: over(deployment), f"the end of the run, see {worker.log}", seconds=90)
    assert worker.process.poll() is None
    check_truth(deployment, account)


def _past(moment: float, deployment: Deployment) -> bool:
    return time.monotonic() > moment or over(deployment)


@pytest.mark.slow
def test_a_sync_survives_flushall_at_any_time(deploy: Deploy, broker_url: str) -> None:
    deployment = deploy()
    account = deployment.account()
    slow(deployment)
    deployment.beat()
    deployment.worker()
    trigger(deployment, account)
    # Until the run has a row only the message exists, and its sender has to send it again.
    wait_until(lambda: deployment.sql("SELECT 1 FROM sync_history"), "the run")
    socket, _, number = broker_url.removeprefix("redis+socket://").partition("?virtual_host=")
    with redis.Redis(unix_socket_path=socket, db=int(number)) as client:
        deadline = time.monotonic() + 15
        dice = random.Random()
        while not over(deployment) and time.monotonic() < deadline:
            client.flushdb()  # all that this deployment has there
            pause = dice.uniform(0.05, 1.5)
            until_then = time.monotonic() + pause
            wait_until(partial(_past, until_then, deployment), "the next flush")
    wait_until(lambda: over(deployment), "the end of the run", seconds=90)
    check_truth(deployment, account)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [4, pytest.param(20, marks=pytest.mark.chaos)])
def test_a_sync_survives_a_postgres_outage(seconds: int, deploy: Deploy, own_postgres: Postgres) -> None:
    deployment = deploy(database_url=own_postgres.url)
    account = deployment.account()
    slow(deployment)
    deployment.beat()
    worker = deployment.worker()
    result = trigger(deployment, account)
    wait_until(lambda: under_way(deployment, 4), "batches")
    own_postgres.kill()
    back_at = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > back_at, "the end of the outage")
    assert worker.process.poll() is None
    own_postgres.start().wait_ready()
    assert result.get(timeout=90)["status"] == "success"
    check_truth(deployment, account)


@pytest.mark.slow
def test_a_trigger_sent_during_a_postgres_outage_is_not_lost(deploy: Deploy, own_postgres: Postgres) -> None:
    deployment = deploy(120, database_url=own_postgres.url)
    account = deployment.account()
    deployment.beat()
    worker = deployment.worker()
    own_postgres.kill()
    result = trigger(deployment, account)
    wait_until(lambda: worker.log.read_text().count("retrying spotisync.full_sync") > 4, "more than three tries")
    own_postgres.start().wait_ready()
    assert result.get(timeout=60)["status"] == "success"
    check_truth(deployment, account)


@pytest.mark.slow
def test_a_sync_survives_a_restart_of_beat(deploy: Deploy) -> None:
    deployment = deploy()
    account = deployment.account()
    slow(deployment)
    beat = deployment.beat()
    worker = deployment.worker()
    trigger(deployment, account)
    wait_until(lambda: under_way(deployment, 3), "batches")
    beat.kill()
    worker.kill()
    deployment.beat()
    deployment.worker()
    wait_until(lambda: over(deployment), "the end of the run", seconds=90)
    check_truth(deployment, account)


@pytest.mark.slow
def test_a_worker_frozen_past_its_lease_writes_nothing(deploy: Deploy) -> None:
    deployment = deploy(lease_seconds=2)
    account = deployment.account()
    control = deployment.simulator.control
    deployment.beat()
    frozen = deployment.worker(concurrency=1)
    control.add_fault(kind="hold", path="/v1/artists", times=1)
    trigger(deployment, account)
    wait_until(control.held_requests, "the held request")
    everyone = [frozen.process.pid, *frozen.children()]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    control.release()
    deployment.worker(concurrency=1)
    wait_until(lambda: over(deployment), "the other worker to end the run")
    before = _versions(deployment)
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "batch dropped" in frozen.log.read_text(), "the frozen worker to drop its batch")
    assert _versions(deployment) == before
    check_truth(deployment, account)


def _versions(deployment: Deployment) -> list[Any]:
    return [
        deployment.sql(f"SELECT xmin::text, ctid::text FROM {table} ORDER BY ctid")
        for table in ("artists", "albums", "tracks", "saved_tracks", "playlist_items", "sync_state")
    ]
