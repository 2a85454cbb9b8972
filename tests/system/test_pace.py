"""The pace: a ceiling that is kept by all workers together, and used."""

import time
from collections.abc import Callable

import pytest

from spotisync.core.pace import Turn
from spotisync.gate import Pace
from spotisync.gate.shared_log import redis_url
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

Deploy = Callable[..., Deployment]


def test_processes_share_a_pace_in_valkey(broker_url: str) -> None:
    """The turns themselves are tested in `tests/unit/gate/test_pace.py`, on fakeredis."""
    one, two = (Pace(redis_url(broker_url), "shared", rate=2) for _ in range(2))
    assert one.take_turn("library").sent
    assert not two.take_turn("artists").sent
    assert two.take_turn("player").sent == 2, "playback has a reserve"
    assert not one.take_turn("player").sent
    assert Pace(redis_url(broker_url), "another developer", rate=2).take_turn("library").sent


def test_the_clock_of_a_process_does_not_matter(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    late, early = (Pace(redis_url(broker_url), "clocks", rate=5) for _ in range(2))
    real = time.time
    taken = []
    for hours, pace in ((-1, late), (1, early), (-1, late), (1, early)):
        monkeypatch.setattr(time, "time", lambda hours=hours: real() + hours * 3600)
        taken.append(pace.take_turn("library"))
    assert taken[0] == Turn(0.0, 1)
    assert taken[1].seconds == pytest.approx(31 / 1.2 / 4, abs=0.5)
    assert not any(each.sent for each in taken[1:])


def trigger(deployment: Deployment, account: Account) -> None:
    deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync")


@pytest.mark.slow
def test_a_run_that_waits_for_its_turn_is_right_and_gets_no_429(deploy: Deploy) -> None:
    deployment = deploy(60, api_rate=120)
    deployment.simulator.control.settings(rate=120, rate_window=30)
    account = deployment.account()
    deployment.beat()
    deployment.worker()
    trigger(deployment, account)
    wait_until(
        lambda: deployment.sql("SELECT 1 FROM sync_history WHERE status = 'success'"), "the end of the run", seconds=90
    )
    assert not [each for each in deployment.simulator.control.requests() if each["status"] == 429]
    assert deployment.sql("SELECT sum(failures) FROM sync_state") == [(0,)]
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


@pytest.mark.chaos
def test_four_workers_and_accounts_use_nearly_all_of_the_rate(deploy: Deploy) -> None:
    deployment = deploy(1_500, accounts=4, api_rate=90)
    deployment.simulator.control.settings(rate=90, rate_window=30, latency_ms=40)
    accounts = [deployment.account(name) for name in deployment.simulator.world.accounts]
    deployment.beat()
    for _ in range(4):
        deployment.worker(concurrency=1)
    for account in accounts:
        trigger(deployment, account)
    over = "SELECT count(*) FROM sync_history WHERE status = 'success'"
    wait_until(lambda: deployment.scalar(over) == 4, "the end of all runs", seconds=400)
    times = [each["time"] for each in deployment.simulator.control.requests() if each["path"].startswith("/v1/")]
    assert not [each for each in deployment.simulator.control.requests() if each["status"] == 429]
    used = (len(times) - 1) / (max(times) - min(times)) * 30
    print(f"{len(times)} requests in {max(times) - min(times):.1f} s: {used:.1f} of 90 in 30 s")
    assert used >= 81
