"""A worker stopped during a batch hands it back: the worker ends soon, and another one continues at once."""

import re
import signal
from collections.abc import Callable

import pytest

from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment

pytestmark = pytest.mark.slow


def test_a_stop_hands_back_the_running_batch(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(400, lease_seconds=120, sweep_interval=600)  # no sweep and no expired lease can help
    account = deployment.account()
    control = deployment.simulator.control
    leaving = deployment.worker()
    # A reply that never arrives.
    control.add_fault(kind="hold", path="/me/tracks")
    result = deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync"
    )
    wait_until(control.held_requests, "a held batch")
    staying = deployment.worker()
    before = deployment.sql("SELECT phase, seq FROM sync_history")
    leaving.process.send_signal(signal.SIGTERM)
    wait_until(lambda: deployment.sql("SELECT phase, seq FROM sync_history") != before, "the next commit")
    assert leaving.process.wait(60) == 0
    assert result.get(timeout=60)["status"] == "success"
    assert "batch handed back" in leaving.log.read_text()
    assert not re.search("Traceback|ERROR", leaving.log.read_text() + staying.log.read_text())
    assert deployment.scalar("SELECT sum(failures) FROM sync_state") == 0
    control.release()
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))
