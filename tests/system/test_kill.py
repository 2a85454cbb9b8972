"""Despite any kill the sync completes, tables == truth, and at most one batch is fetched again."""

from collections.abc import Callable
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
    deployment = deploy(sweep_interval=600, lease_seconds=600)  # no sweep and no expired lease can help
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
        assert result.get(timeout=60)["status"] == "success"
        print(f"{point} {phase}: {calls(deployment) - calm} calls again")
        assert calls(deployment) - calm <= LARGEST_BATCH
        assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


@pytest.mark.slow
def test_a_run_survives_kills_of_a_child_at_four_points(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    check_kills(deploy, tmp_path, SAMPLE)


@pytest.mark.chaos
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_survives_kills_of_a_child_at_every_point(
    phase: str, deploy: Callable[..., Deployment], tmp_path: Path
) -> None:
    check_kills(deploy, tmp_path, [(point, phase) for point in POINTS])
