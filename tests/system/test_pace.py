"""The pace: a ceiling that is kept by all workers together, and used."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.requests import Family
from spotisync.gate.pace import KEPT, Pace, redis_url
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

Deploy = Callable[..., Deployment]
WINDOW = 2


def most_in(times: list[float], seconds: float) -> int:
    """The most that fall into any window of so many seconds."""
    return max(sum(1 for each in times if first <= each < first + seconds) for first in times)


def turns(pace: Pace, family: Family, until_then: float) -> list[float]:
    taken: list[float] = []
    while (now := time.time()) < until_then:
        if seconds := pace.take_turn(family):
            time.sleep(min(seconds, max(0.0, until_then - now)))
        else:
            taken.append(now)
    return taken


def together(paces: list[Pace], family: Family, seconds: float) -> list[float]:
    """All of them take what they get, side by side."""
    taken: list[float] = []
    end = time.time() + seconds
    threads = [threading.Thread(target=lambda each=each: taken.extend(turns(each, family, end))) for each in paces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(taken)


def test_several_processes_share_one_rate_and_use_it_fully(broker_url: str) -> None:
    paces = [Pace(redis_url(broker_url), "shared", rate=60, window=WINDOW) for _ in range(6)]
    taken = together(paces, "library", 2 * WINDOW)
    kept = 60 - 60 // KEPT
    # A client notes its time before it asks, so the edge of a window is a little blurred.
    assert most_in(taken, WINDOW * 0.95) <= kept
    assert len(taken) >= 0.9 * kept * 2


def test_playback_has_its_own_share_of_the_rate(broker_url: str) -> None:
    pace = Pace(redis_url(broker_url), "own", rate=60)
    assert pace.take_turn("library") == 0.0
    while not pace.take_turn("library"):
        pass
    assert pace.take_turn("artists") > 0
    assert pace.take_turn("player") == 0.0


def test_apps_have_separate_rates(broker_url: str) -> None:
    one, other = (Pace(redis_url(broker_url), client, rate=1) for client in ("one", "other"))
    assert one.take_turn("library") == 0.0
    assert one.take_turn("library") > 0
    assert other.take_turn("library") == 0.0


@pytest.mark.parametrize("url", [None, "redis+unix:///nowhere/valkey.sock?db=0"])
def test_without_redis_each_process_limits_its_own_rate(url: str | None) -> None:
    taken = together([Pace(url, "alone", rate=40, window=2)], "library", 2.5)
    assert 0 < most_in(taken, 1.9) <= 40


def test_without_a_rate_nothing_is_counted() -> None:
    pace = Pace("redis://nowhere.invalid", "free", rate=0)
    assert not any(pace.take_turn("library") for _ in range(1_000))


@given(st.integers(1, 400))
def test_the_rate_never_exceeds_the_configured_one(rate: int) -> None:
    pace = Pace(None, "any", rate)
    assert pace._sync
    assert pace._kept
    shares = {pace._sync, pace._kept}
    assert sum(share.windows[-1].amount for share in shares) == rate
    for share in shares:
        for short, long in pairwise(share.windows):
            assert 1 <= short.amount <= long.amount
            assert short.amount * long.get_expiry() >= long.amount * short.get_expiry(), "the ceiling can be reached"


@pytest.mark.parametrize(
    ("celery", "ours"),
    [
        ("redis://:pw@host:6379/2", "redis://:pw@host:6379/2"),
        ("rediss://host", "rediss://host"),
        ("redis+socket:///run/valkey.sock?virtual_host=4", "redis+unix:///run/valkey.sock?db=4"),
        ("redis+socket:///run/valkey.sock", "redis+unix:///run/valkey.sock?db=0"),
        ("rpc://", None),
        ("db+postgresql://host", None),
    ],
)
def test_derives_the_redis_url_from_the_result_backend(celery: str, ours: str | None) -> None:
    assert redis_url(celery) == ours


def trigger(deployment: Deployment, account: Account) -> None:
    deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync")


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
    assert_tables_equal_truth(deployment.sync, account, deployment.simulator.world.truth(account.name))


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
