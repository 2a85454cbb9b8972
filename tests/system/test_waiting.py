"""Every form of a 429, with real workers."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment, ForeignService

Deploy = Callable[..., Deployment]
QUEUE = "spotisync.sync"


shared = pytest.mark.xdist_group("shared")


@pytest.fixture
def deployment(others: ForeignService) -> Deployment:
    return others.deployment


@shared
def test_a_short_429_is_a_countdown_and_not_a_failure(deployment: Deployment) -> None:
    account = deployment.account()
    control = deployment.simulator.control
    control.add_fault(kind="status", status=429, retry_after=3, path="/v1/me/tracks", after=1)
    began = time.monotonic()
    result = deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)
    summary = result.get(timeout=60)
    assert time.monotonic() - began >= 3
    assert summary["status"] == "success"
    assert summary["phases"]["tracks"]["failures"] == 0
    limited = next(each for each in control.requests() if each["status"] == 429)
    early = [
        each
        for each in control.requests()
        if limited["time"] + 2 < each["time"] < limited["time"] + 2.9 and each["path"].startswith("/v1/")
    ]
    assert not early
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


def test_a_day_long_429_parks_the_run_and_frees_the_worker(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.beat()
    deployment.worker()
    account = deployment.account()
    control = deployment.simulator.control
    control.add_fault(kind="status", status=429, retry_after=86_400, path="/v1/me/tracks", after=2, times=None)
    result = deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)
    wait_until(
        lambda: deployment.sql("SELECT 1 FROM sync_history WHERE status = 'rate_limited'"), "the run to be parked"
    )
    row = deployment.sql(
        """SELECT s.rate_limit_reset_at, l.blocked_until, l.reason, extract(epoch FROM l.blocked_until - now()) AS left
        FROM sync_state s, rate_limits l WHERE s.entity_type = 'tracks'"""
    )[0]
    assert isinstance(row.rate_limit_reset_at, datetime)
    # Two requests were in flight, and both got a 429.
    assert abs((row.rate_limit_reset_at - row.blocked_until).total_seconds()) < 5
    assert row.reason == "quota"
    assert 86_000 < row.left <= 86_400
    inspect = deployment.foreign.control.inspect(timeout=60, limit=1)  # there is one worker
    # A sweep may be running, or the batch that parked the run has not ended yet.
    wait_until(lambda: (active := inspect.active()) and not any(active.values()), "the worker to be idle")
    scheduled = inspect.scheduled()
    assert scheduled
    assert not any(scheduled.values()), "no message has a countdown of a day"
    control.reset_log()
    for program in list(deployment.programs):
        program.end()
    backend: Any = deployment.foreign.backend
    backend.client.flushdb()  # backend and broker are one server
    began = deployment.scalar("SELECT now()")
    deployment.beat()
    deployment.worker()
    sweeps = "SELECT 1 FROM heartbeats WHERE name = 'sweep' AND beat_at > :began + interval '3 seconds'"
    wait_until(lambda: deployment.sql(sweeps, began=began), "some sweeps")
    assert not [each for each in control.requests() if each["path"].startswith("/v1/")]
    control.clear_faults()
    deployment.sql("UPDATE rate_limits SET blocked_until = now()")
    assert result.get(timeout=60)["status"] == "success"
    assert not [each for each in control.requests() if each["path"] == "/v1/me/tracks" and "offset=0" in each["query"]][
        1:
    ]
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


@shared
@pytest.mark.slow
def test_cancelling_a_parked_run_answers_the_caller(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="status", status=429, body="quota", path="/v1/me/tracks")
    result = deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)
    wait_until(
        lambda: deployment.sql("SELECT 1 FROM sync_history WHERE status = 'rate_limited'"), "the run to be parked"
    )
    sync_id = deployment.scalar("SELECT id FROM sync_history")
    deployment.foreign.send_task("spotisync.cancel_sync", kwargs={"sync_id": sync_id}, queue="spotisync.control")
    with pytest.raises(Exception, match="cancelled"):
        result.get(timeout=60)


@shared
def test_defers_and_counts_look_ups_that_are_blocked_for_long(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(
        kind="status", status=429, retry_after=86_400, path="/v1/artists", after=1, times=None
    )
    result = deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)
    summary = result.get(timeout=60)
    assert summary["status"] == "success"
    stubs = deployment.scalar("SELECT count(*) FROM artists WHERE enrichment = 'stub'")
    assert summary["phases"]["artists"]["items_deferred"] == stubs > 0
    assert summary["items_deferred"] == stubs
    assert summary["phases"]["albums"]["items_deferred"] == 0
    deployment.sql("DELETE FROM rate_limits")
    deployment.simulator.control.clear_faults()
    again = deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)
    assert again.get(timeout=60)["items_deferred"] == 0
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


@shared
@pytest.mark.slow
def test_survives_more_consecutive_failures_than_celery_retries(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.simulator.control.add_fault(
        kind="status", status=500, body="text", message="\x00", path="/v1/me/tracks", times=4
    )
    result = deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)
    assert result.get(timeout=60)["status"] == "success"
    assert "MaxRetriesExceeded" not in deployment.logs()


FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 502, "body": "html"},
    {"kind": "status", "status": 500, "body": "empty"},
    {"kind": "cut"},
    {"kind": "garbage"},
    {"kind": "null"},
    {"kind": "empty"},
    {"kind": "reset"},
    {"kind": "status", "status": 500, "body": "list"},
    {"kind": "status", "status": 503, "body": "error_null"},
]


@pytest.mark.slow
@shared
def test_survives_temporary_faults_of_every_kind(deployment: Deployment) -> None:
    account = deployment.account()
    for number, fault in enumerate(FAULTS):
        deployment.simulator.control.add_fault(**fault, path="/v1/(me|artists|albums|playlists)", after=3 + 3 * number)
    result = deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)
    assert result.get(timeout=90)["status"] == "success"
    assert all(fault["struck"] == 1 for fault in deployment.simulator.control.faults())
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


@pytest.mark.slow
def test_drains_deferred_look_ups_after_a_day_long_429(deploy: Deploy) -> None:
    deployment = deploy(200)
    deployment.worker()
    account = deployment.account()
    control = deployment.simulator.control
    control.add_fault(kind="status", status=429, retry_after=86_400, path="/v1/artists", after=1, times=None)
    send: Callable[..., Any] = deployment.foreign.send_task
    result = send("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)
    summary = result.get(timeout=60)
    assert summary["status"] == "success"
    assert summary["items_deferred"] == summary["phases"]["artists"]["items_deferred"] > 0
    control.clear_faults()
    control.reset_log()
    heard = "SELECT bool_and(updated_at < now() - interval '1 second') FROM rate_limits"
    wait_until(lambda: deployment.scalar(heard), "every process to notice the end of the limit")
    tick = send("spotisync.enrich", queue=QUEUE, expires=30)  # like the scheduler
    assert tick.get(timeout=60) == {"family": None, "looked_up": 0, "more": False}
    assert control.requests() == []
    deployment.sql("UPDATE rate_limits SET blocked_until = now()")
    wait_until(lambda: send("spotisync.enrich", queue=QUEUE, expires=30).get(timeout=60)["looked_up"], "look-ups")
    wait_until(lambda: not deployment.sql("SELECT 1 FROM artists WHERE enrichment = 'stub'"), "the remaining look-ups")
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))
