"""A run that one version has begun is finished by another: the last release under this version, and back."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from spotisync.store import migrate
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment, Program
from tests.system.test_outages import slow, trigger, under_way

RELEASE, REVISION = "77131957", "0006"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The directory of the last release's code."""
    if subprocess.run(
        ["git", "-C", ROOT, "cat-file", "-e", RELEASE], stderr=subprocess.DEVNULL, check=False
    ).returncode:
        pytest.skip("the clone does not contain the last release")
    directory = tmp_path / "release"
    directory.mkdir()
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", RELEASE, "spotisync", "celeryconfig.py"], stdout=-1, check=True
    )
    subprocess.run(["tar", "-x", "-C", directory], input=archive.stdout, check=True)
    return directory


def old_worker(deployment: Deployment, release: Path) -> Program:
    return deployment.worker(inside=("env", "-C", str(release)), PYTHONPATH=str(release))


def finish(deployment: Deployment, result: "AsyncResult[Any]", account: Account) -> None:
    """Wait for the end. Without beat, the test asks for the sweeps that publish what a killed worker has lost."""

    def is_over() -> bool:
        deployment.foreign.send_task("spotisync.sweep", queue="spotisync.control")
        return result.ready()

    wait_until(is_over, "the end of the run", 90)
    assert result.get()["status"] == "success"
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


@pytest.mark.slow
def test_a_run_survives_an_upgrade_and_a_rollback(deploy: Callable[..., Deployment], release: Path) -> None:
    deployment = deploy(lease_seconds=8)
    account, url = deployment.account(), str(deployment.settings.database_url)
    slow(deployment)
    migrate.downgrade(url, REVISION)
    old = old_worker(deployment, release)
    result = trigger(deployment, account)
    wait_until(lambda: under_way(deployment, 4), "batches of the old version")
    old.end()
    migrate.upgrade(url)
    new = deployment.worker()
    finish(deployment, result, account)

    deployment.forget()
    result = trigger(deployment, account)
    wait_until(lambda: under_way(deployment, 4), "batches of the new version")
    new.end()
    migrate.downgrade(url, REVISION)
    old = old_worker(deployment, release)
    wait_until(lambda: _has_met_the_run(deployment, old), "the old version to continue the run")
    old.end()
    migrate.upgrade(url)
    deployment.worker()
    finish(deployment, result, account)


def _has_met_the_run(deployment: Deployment, worker: Program) -> bool:
    deployment.foreign.send_task("spotisync.sweep", queue="spotisync.control")
    return "Task spotisync.batch" in worker.log.read_text()
