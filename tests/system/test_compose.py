"""The services of docker-compose.yml: three workers share a sync, and a rolling restart loses nothing."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spotisync.settings import Settings
from spotisync.simulator import Control
from spotisync.sync import Context
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.compose import ROOT, Stack, commands_of, dotenv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
# Services that end after their work, and the simulator.
NOT_RESTARTED = {"migrate", "demo", "simulator"}


@pytest.fixture
def secrets() -> Iterator[Path]:
    """The secrets made by the three commands of the document."""
    with tempfile.TemporaryDirectory(prefix="sc-", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        commands = commands_of(ROOT / "docs" / "operations.md", "openssl")
        assert len(commands.strip().splitlines()) == 3
        subprocess.run(["bash", "-ec", commands], cwd=name, check=True)
        yield Path(name) / "secrets"


@pytest.fixture
def stack(secrets: Path) -> Iterator[Stack]:
    made = Stack(secrets.parent / "containers", dotenv(ROOT / "docker" / "demo.env"), secrets, {"worker": 3})
    yield made
    made.down()


@pytest.mark.skipif(not shutil.which("openssl"), reason="the document's commands need openssl")
def test_a_rolling_restart_of_all_services_during_a_sync_loses_nothing(stack: Stack, secrets: Path) -> None:
    stack.up()
    spotify = Control(f"http://127.0.0.1:{stack.ports['8421']}")
    workers = stack.named("worker")
    wait_until(lambda: all("batch committed" in worker.log for worker in workers), "a batch from each of three workers")
    spotify.settings(latency_ms=2_500)  # the sync must take longer than the restarts
    (demo,) = stack.named("demo")
    restarted = [each for each in stack.instances.values() if each.name.rpartition("-")[0] not in NOT_RESTARTED]
    for each in restarted:
        stack.restart(each)
    assert not demo.succeeded(), "the sync ended before the restarts did"
    spotify.settings(latency_ms=0)
    for each in restarted:
        stack.await_health(each)
    wait_until(demo.succeeded, "the end of the sync", seconds=120)
    _compare(stack, secrets, spotify)


def _compare(stack: Stack, secrets: Path, spotify: Control) -> None:
    account = spotify.info()["accounts"][0]["id"]
    context = Context.from_settings(
        Settings(
            _env_file=None,
            database_url=(secrets / "database_url").read_text().strip(),
            secret_key=(secrets / "secret_key").read_text().strip(),
            client_id="demo",
            api_rate=0,
        )
    )
    try:
        assert_tables_equal_truth(context, Account(account), spotify.truth(account))
    finally:
        context.close()
