"""`spotisync login` as a user runs it, and tokens shared by four worker processes."""

import re
import signal
import sys
import time
from collections.abc import Callable

import pytest

from spotisync.sync import accounts
from tests.support.driver import Account
from tests.support.truth import expected, tables
from tests.support.waiting import wait_until
from tests.system.command_line import InProcess, Subprocess
from tests.system.programs import Deployment, environment

Deploy = Callable[..., Deployment]
ANYWHERE = "http://127.0.0.1/callback"
# A browser that agrees at once. Without colons, which separate the commands in BROWSER.
AGREES = f"{sys.executable} -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1] + \"&as=user02\").read()' %s"
TOKEN_LIFE = 2


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    return deploy("tiny", accounts=2, redirect_uri=ANYWHERE)


@pytest.fixture
def env(deployment: Deployment) -> dict[str, str]:
    return environment(deployment.settings)


def test_logs_in_with_a_browser(deployment: Deployment, env: dict[str, str]) -> None:
    result = Subprocess({**env, "BROWSER": AGREES})("login", "--timeout", "60")
    assert result.code == 0, result.err
    assert "user02 is logged in. Sync the library: spotisync sync full" in result.out
    (listed,) = InProcess(env)("accounts", "list", "--json").json
    assert (listed["spotify_user_id"], listed["status"], listed["missing_scopes"]) == ("user02", "active", [])
    assert (listed["spotify_account_id"], listed["warning"]) == (
        deployment.simulator.world.library("user02").account_id,
        None,
    )
    assert listed["expires_at"] > listed["authorised_at"]


def test_failed_logins_say_why_and_how_to_continue(env: dict[str, str]) -> None:
    for words, stdin, redirect_uri, code, why in (
        (
            ["--no-browser"],
            "http://127.0.0.1/callback?code=AQ&state=foreign",
            ANYWHERE,
            4,
            "belongs to no login in progress",
        ),
        (["--no-browser"], "", ANYWHERE, 4, "no URL was entered"),
        ([], "", "http://localhost:8420/callback", 2, "localhost, which Spotify no longer accepts"),
        ([], "", "https://example.com/callback", 2, "--no-browser"),
    ):
        result = InProcess({**env, "SPOTIPY_REDIRECT_URI": redirect_uri})("login", *words, stdin=stdin)
        assert (result.code, why in result.err) == (code, True), result.err
        assert "Traceback" not in result.err
    assert InProcess(env)("accounts", "list", "--json").json == []


@pytest.mark.slow
def test_ctrl_c_ends_the_wait(env: dict[str, str]) -> None:
    with Subprocess({**env, "BROWSER": "true %s"}).start("login") as waiting:
        assert waiting.stdout
        assert any("--no-browser" in line for line in waiting.stdout)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(60) == 130


@pytest.mark.slow
def test_four_workers_lose_no_rotating_token_and_survive_a_revocation(
    deploy: Deploy,
) -> None:
    deployment = deploy(600, accounts=4, redirect_uri=ANYWHERE)
    control = deployment.simulator.control
    control.settings(token_life=TOKEN_LIFE, refresh_reply="rotate", latency_ms=40)
    names = list(deployment.simulator.world.accounts)
    for name in names:
        accounts.add(deployment.context, deployment.simulator.refresh_token(name), None)
    deployment.worker(concurrency=4)
    *good, revoked = names
    control.revoke(revoked, access=True)
    control.reset_log()
    deployment.sql("UPDATE accounts SET access_token_expires_at = now()")
    began = time.monotonic()
    results = {
        name: deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": name}, queue="spotisync.sync")
        for name in names
    }
    for name in good:
        assert results[name].get(timeout=90)["status"] == "success"
    lives = (time.monotonic() - began) / (TOKEN_LIFE * 0.9)
    wait_until(results[revoked].ready, "the run of the revoked account to fail")
    refreshes = [each for each in control.requests() if each["path"] == "/api/token"]
    granted = len([each for each in refreshes if each["status"] == 200])
    assert len(good) <= granted <= len(good) * (lives + 1)
    assert len([each for each in refreshes if each["status"] != 200]) == 1, "a refused token is not retried"

    control.settings(latency_ms=0)
    stored = deployment.sql("SELECT spotify_user_id, status, refresh_token FROM accounts")
    assert {row[0]: row[1] for row in stored} == {**dict.fromkeys(good, "active"), revoked: "needs_login"}
    for name, _, sealed in stored:
        if name != revoked:
            assert deployment.context.vault.decrypt(sealed) == deployment.simulator.refresh_token(name)
            assert _saved(deployment, name) == expected(deployment.simulator.world.truth(name))["saved_tracks"]

    cli = InProcess(environment(deployment.settings))
    refused = cli("sync", "full", "--account", revoked)
    assert (refused.code, "spotisync login" in refused.err) == (4, True)
    assert re.search(rf"{revoked} has to log in again .*spotisync login", " ".join(cli("accounts", "list").out.split()))


def _saved(deployment: Deployment, name: str) -> object:
    with deployment.context.database.begin() as connection:
        return tables(connection, Account(name))["saved_tracks"]
