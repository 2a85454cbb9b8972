"""`spotisync doctor` on a healthy deployment and on broken ones."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.system.command_line import CommandResult, Subprocess
from tests.system.programs import Deployment, environment


@pytest.fixture
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    return deploy(20)


def states(result: CommandResult) -> dict[str, str]:
    return {each["check"]: each["state"] for each in result.json["findings"]}


def finding(result: CommandResult, check: str) -> dict[str, Any]:
    return next(each for each in result.json["findings"] if each["check"] == check)


@pytest.mark.slow
def test_doctor_finds_a_healthy_deployment(deployment: Deployment) -> None:
    name = deployment.account().name
    deployment.beat()
    deployment.worker()
    wait_until(lambda: deployment.sql("SELECT 1 FROM heartbeats"), "a sweep of the schedule")
    doctor = Subprocess(environment(deployment.settings))
    result = doctor("doctor", "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json["ok"]
    assert set(states(result).values()) == {"ok"}
    assert {"database", "tables", "clock", "broker", "results", "workers", "schedule", "limits"} <= set(states(result))
    assert {f"token of {name}", f"Spotify as {name}"} <= set(states(result))
    assert "test" in finding(result, "workers")["message"]
    assert not any(each["cure"] for each in result.json["findings"])

    deployment.simulator.control.revoke(access=True)
    revoked = doctor("doctor")
    assert revoked.code == 4
    assert "Fix: log in again: spotisync login" in revoked.out
    assert "failed" in revoked.out.splitlines()[-1]


@pytest.mark.slow
def test_doctor_reports_missing_workers_and_a_wrong_key(deployment: Deployment) -> None:
    name = deployment.account().name
    deployment.sql(
        """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
        VALUES ('simulated', 'library', now() + interval '1 hour', 'quota')"""
    )
    env = environment(deployment.settings)
    other = {**env, "SPOTISYNC_SECRET_KEY": "b3RoZXItLW90aGVyLS1vdGhlci0tb3RoZXItLW90aGU="}
    result = Subprocess(other)("doctor", "--json", "--offline")
    assert result.code == 1
    found = states(result)
    assert (found["workers"], found["schedule"], found["broker"], found["limits"]) == (
        "failed",
        "failed",
        "ok",
        "warning",
    )
    assert found[f"token of {name}"] == "failed"
    assert "SPOTISYNC_SECRET_KEY" in str(finding(result, f"token of {name}")["cure"])
