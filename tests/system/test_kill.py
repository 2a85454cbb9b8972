"""Despite any kill the sync completes, tables == truth, and at most one batch is fetched again."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from spotisync.core.states import PHASES
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import POINTS, Deployment

LARGEST_BATCH = 8  # requests
SAMPLE = [
    ("before_fetch", "tracks"),
    ("after_fetch", "artists"),
    ("before_publish", "albums"),
    ("after_publish", "playlists"),
    ("before_publish", "playlists"),
]
EVERY = [(point, phase) for phase in PHASES for point in POINTS]


def trigger(deployment: Deployment, account: Account) -> "AsyncResult[Any]":
    return deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync")


def calls(deployment: Deployment) -> int:
    return len([each for each in deployment.simulator.control.requests() if each["path"].startswith("/v1/")])


def check_kills(deploy: Callable[..., Deployment], tmp_path: Path, cases: list[tuple[str, str]]) -> None:
    deployment = deploy(sweep_interval=10)  # as in production: recovery must not depend on it
    account = deployment.account()
    orders = tmp_path / "crash"
    deployment.beat()
    deployment.worker("tests.system.crashing", CRASH_FILE=str(orders))
    control = deployment.simulator.control
    control.reset_log()
    assert trigger(deployment, account).get(timeout=60)["status"] == "success"
    calm = calls(deployment)
    for point, phase in cases:
        deployment.forget()
        control.reset_log()
        orders.write_text(f"{point} {phase}")
        result = trigger(deployment, account)
        wait_until(lambda: not orders.exists(), f"the kill {point} of {phase}")
        died, batches = time.monotonic(), _batches(deployment)
        wait_until(partial(_moved_on, deployment, batches), f"progress after the kill {point} of {phase}")
        went_on = time.monotonic() - died
        assert result.get(timeout=60)["status"] == "success"
        print(f"{point} {phase}: on after {went_on:.1f} s, {calls(deployment) - calm} calls again")
        assert went_on < 5
        assert calls(deployment) - calm <= LARGEST_BATCH
        assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


def _batches(deployment: Deployment) -> int:
    return int(deployment.scalar("SELECT sum(batches) FROM sync_state"))


def _moved_on(deployment: Deployment, batches: int) -> bool:
    """Whether a batch was committed since, or the run has ended."""
    return _batches(deployment) > batches or bool(deployment.sql("SELECT 1 FROM sync_history WHERE status = 'success'"))


def test_a_run_survives_kills_of_a_child_at_four_points(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    check_kills(deploy, tmp_path, SAMPLE)


@pytest.mark.chaos
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_survives_kills_of_a_child_at_every_point(
    phase: str, deploy: Callable[..., Deployment], tmp_path: Path
) -> None:
    check_kills(deploy, tmp_path, [(point, phase) for point in POINTS])
