"""Accounts with apps of their own, with real workers and the real command line."""

from collections.abc import Callable
from typing import Any

import pytest

from spotisync.core.apps import App
from spotisync.sync import accounts
from spotisync.sync.accounts import AppChoice
from tests.support.waiting import wait_until
from tests.system.command_line import InProcess
from tests.system.programs import Deployment, environment
from tests.system.test_login import AGREES, ANYWHERE

Deploy = Callable[..., Deployment]
OWN, SECRET, DAY = "own-app", "its-secret-value", 86_400


def send(deployment: Deployment, account: str) -> Any:
    return deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account}, queue="spotisync.sync")


@pytest.mark.slow
def test_a_banned_app_does_not_slow_the_syncs_of_another(deploy: Deploy) -> None:
    deployment = deploy(300, accounts=2, tracks_batch_size=50)
    control, context = deployment.simulator.control, deployment.context
    control.settings(latency_ms=30)
    deployment.account("user01")
    accounts.add(context, deployment.simulator.refresh_token("user02"), None, AppChoice(App(OWN, OWN)))
    deployment.worker(concurrency=2)
    deployment.beat()
    assert send(deployment, "user02").get(timeout=60)["status"] == "success"
    alone = seconds_of(deployment, "user02")
    deployment.forget()
    control.settings(banned={"simulated": deployment.simulator.world.now() + DAY})
    send(deployment, "user01")
    wait_until(lambda: deployment.sql("SELECT 1 FROM sync_history WHERE status = 'rate_limited'"), "the ban")
    control.reset_log()
    assert send(deployment, "user02").get(timeout=60)["status"] == "success"
    assert seconds_of(deployment, "user02") < 1.5 * alone + 1
    assert {each["client_id"] for each in control.requests()} == {OWN}
    assert deployment.sql("SELECT client_id FROM rate_limits") == [("simulated",)]
    assert deployment.scalar("SELECT status FROM sync_history WHERE status <> 'success'") == "rate_limited"


def seconds_of(deployment: Deployment, account: str) -> float:
    return float(
        deployment.scalar(
            """SELECT EXTRACT(epoch FROM r.completed_at - r.started_at) FROM sync_history r
            JOIN accounts a ON a.id = r.account_id WHERE a.spotify_user_id = :account""",
            account=account,
        )
    )


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    return deploy("tiny", accounts=2, redirect_uri=ANYWHERE)


def test_the_command_line_logs_in_by_an_own_app(deployment: Deployment) -> None:
    deployment.simulator.control.settings(client_secret=SECRET)
    env = {**environment(deployment.settings), "BROWSER": AGREES}
    cli = InProcess(env)
    options = ("--client-id", OWN, "--client-secret-stdin", "--developer", "bob")
    added = cli("login", "--timeout", "60", *options, stdin=f"{SECRET}\n")
    assert added.code == 0, added.err
    (listed,) = cli("accounts", "list", "--json").json
    assert (listed["client_id"], listed["developer"]) == (OWN, "bob")
    assert f"user02 uses the app {OWN} of bob." in cli("accounts", "list").out
    checked = {each["check"]: each["message"] for each in cli("doctor", "--offline", "--json").json["findings"]}
    assert checked["Spotify app of user02"] == f"client ID {OWN}, with a secret"
    assert SECRET not in added.out + added.err + cli("doctor", "--offline").out
    again = cli("login", "--timeout", "60", "--account", "user02")
    assert again.code == 0, again.err
    assert cli("accounts", "list", "--json").json[0]["client_id"] == OWN
    deployment.simulator.control.settings(client_secret="")
    assert cli("login", "--timeout", "60", "--default-app").code == 0
    assert cli("accounts", "list", "--json").json[0]["client_id"] is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--developer", "bob"), "--client-id"),
        (("--client-secret-stdin",), "--client-id"),
        (("--client-id", "a", "--default-app"), "either --client-id or --default-app"),
        (("--client-id", "a b"), "without whitespace"),
    ],
)
def test_options_that_do_not_fit_are_refused(deployment: Deployment, options: tuple[str, ...], why: str) -> None:
    result = InProcess(environment(deployment.settings))("login", *options)
    assert (result.code, why in " ".join(result.err.replace("│", " ").split())) == (2, True), result.err


def test_adds_an_account_by_the_refresh_token_of_its_own_app(deployment: Deployment) -> None:
    deployment.simulator.control.settings(client_secret=SECRET)
    cli = InProcess(environment(deployment.settings))
    token = deployment.simulator.refresh_token("user01")
    words = ("accounts", "add", "--refresh-token-stdin", "--client-id", OWN)
    refused = cli(*words, "--client-secret-stdin", stdin=f"{token}\nwrong\n")
    assert (refused.code != 0, f"rejects the app {OWN}" in refused.err) == (True, True), refused.err
    added = cli(*words, "--client-secret-stdin", stdin=f"{token}\n{SECRET}\n")
    assert added.code == 0, added.err
    assert cli("accounts", "list", "--json").json[0]["client_id"] == OWN
