"""A worker as the first process of a container, as in Kubernetes or `docker run` without an init process."""

import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.support.truth import assert_tables_equal_truth
from tests.system.programs import Deployment, children

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
PERMITTED = bool(shutil.which("unshare")) and not subprocess.run([*UNSHARE, "true"], capture_output=True).returncode  # noqa: PLW1510

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PERMITTED, reason="no pid namespaces here")]


def test_a_worker_with_pid_1_syncs_and_stops(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(60)
    account = deployment.account()
    worker = deployment.worker(inside=UNSHARE)
    result = deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync"
    )
    assert result.get(timeout=60)["status"] == "success"
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))
    (first,) = worker.children()
    assert len(children(first)) == 2
    subprocess.run(["kill", "-TERM", str(first)], check=True)
    assert worker.process.wait(60) == 0
