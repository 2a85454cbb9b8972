"""`spotisync doctor` on a healthy deployment and on broken ones."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.system.command_line import Said, Shell
from tests.system.programs import Deployment, environment


@pytest.fixture
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    return deploy(20)


def states(said: Said) -> dict[str, str]:
    return {each["check"]: each["state"] for each in said.json["findings"]}


def finding(said: Said, check: str) -> dict[str, Any]:
    return next(each for each in said.json["findings"] if each["check"] == check)


@pytest.mark.slow
def test_doctor_finds_a_healthy_deployment(deployment: Deployment) -> None:
    name = deployment.account().name
    deployment.beat()
    deployment.worker()
    wait_until(lambda: deployment.sql("SELECT 1 FROM heartbeats"), "a sweep of the schedule")
    doctor = Shell(environment(deployment.settings))
    said = doctor("doctor", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json["ok"]
    assert set(states(said).values()) == {"ok"}
    assert {"database", "tables", "clock", "broker", "results", "workers", "schedule", "limits"} <= set(states(said))
    assert {f"token of {name}", f"Spotify as {name}"} <= set(states(said))
    assert "test" in finding(said, "workers")["message"]
    assert not any(each["cure"] for each in said.json["findings"])

    deployment.simulator.control.revoke(access=True)
    revoked = doctor("doctor")
    assert revoked.code == 4
    assert "Cure: log in again: spotisync login" in revoked.out
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
    said = Shell(other)("doctor", "--json", "--offline")
    assert said.code == 1
    found = states(said)
    assert (found["workers"], found["schedule"], found["broker"], found["limits"]) == (
        "failed",
        "failed",
        "ok",
        "warning",
    )
    assert found[f"token of {name}"] == "failed"
    assert "SPOTISYNC_SECRET_KEY" in str(finding(said, f"token of {name}")["cure"])
