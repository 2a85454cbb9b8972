"""What the result backend holds after syncs: the answers to callers, and nothing that no caller reads."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.system.programs import Deployment

pytestmark = pytest.mark.slow


def test_only_results_of_callers_are_stored(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(60, playback_interval=2)
    account = deployment.account()
    deployment.simulator.control.add_fault(kind="status", status=429, retry_after=1, path="/v1/me/tracks", after=1)
    deployment.worker(concurrency=2)
    deployment.beat()
    for kind in ("full_sync", "incremental_sync", "incremental_sync"):
        deployment.foreign.send_task(f"spotisync.{kind}", kwargs={"account": account.name}, queue="spotisync.sync").get(
            timeout=60
        )
    wait_until(lambda: "Task spotisync.track_playback[" in deployment.logs(), "a scheduled read of plays")
    assert "Retry in" in deployment.logs(), "a batch that Celery has retried"
    backend: Any = deployment.foreign.backend
    stored = [json.loads(backend.client.get(key))["name"] for key in backend.client.keys("celery-task-meta-*")]
    assert len(backend.client.keys("celery-task*")) == len(stored), "no results of groups either"
    assert sorted(stored) == ["spotisync.full_sync", "spotisync.incremental_sync", "spotisync.incremental_sync"]
