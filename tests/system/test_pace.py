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
    assert taken[1].seconds == pytest.approx(31 / 1.5 / 4, abs=0.5)
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


WINDOWS = 6
IDLE = """SELECT spotify_user_id FROM accounts a WHERE NOT EXISTS (SELECT 1 FROM sync_history h
    WHERE h.account_id = a.id AND h.status NOT IN ('success', 'failed', 'cancelled'))"""


def learn_rate(deployment: Deployment, rate: int, window: float, learning: float) -> tuple[list[int], float]:
    """Let four workers sync four accounts again and again, with a rate that they have to learn.

    Returns the 429s of each window after the time of learning, and the part of the rate that was used in them.
    """
    control = deployment.simulator.control
    control.settings(rate=rate, rate_window=window, latency_ms=40)
    accounts = {each.name: each for each in map(deployment.account, deployment.simulator.world.accounts)}
    deployment.beat()
    for _ in range(4):
        deployment.worker("tests.system.quick_pace", concurrency=1, QUICK_WINDOW=str(window * 31 / 30))
    begin = time.time() + learning

    def is_over() -> bool:
        for (name,) in deployment.sql(IDLE):
            trigger(deployment, accounts[name])
        return time.time() > begin + WINDOWS * window

    wait_until(is_over, "the windows to pass", seconds=learning + (WINDOWS + 2) * window)
    replies = [each for each in control.requests() if each["path"].startswith("/v1/") and each["time"] >= begin]
    numbers = [(int((each["time"] - begin) / window), each["status"] == 429) for each in replies]
    refused = [numbers.count((number, True)) for number in range(WINDOWS)]
    return refused, sum(numbers.count((number, False)) for number in range(WINDOWS)) / (rate * WINDOWS)


@pytest.mark.parametrize("rate", [40, 120])
@pytest.mark.parametrize(
    ("window", "learning"),
    [
        pytest.param(10, 50, marks=pytest.mark.slow),
        pytest.param(30, 120, marks=[pytest.mark.chaos, pytest.mark.timeout(500)]),
    ],
)
def test_four_workers_learn_an_unknown_rate(deploy: Deploy, window: float, learning: float, rate: int) -> None:
    deployment = deploy(6_000, accounts=4, api_rate="auto")
    refused, used = learn_rate(deployment, rate, window, learning)
    print(f"{rate} in {window} s: 429s by window {refused}, {used:.0%} of the rate used")
    assert max(refused) <= 1
    assert used >= 0.85
