"""Triggers from other services, and Flower: the unchanged examples against a running stack with a password."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from redis import Redis, RedisError

from spotisync.cli import processes
from spotisync.client import Client, Fatal, SyncCancelled
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import ChildSpec
from spotisync.stack.valkey import Valkey
from tests.conftest import _administer, _url, settings_for
from tests.support.driver import Account
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.system.conftest import deployed
from tests.system.programs import Deployment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("triggers"),
    # Celery's result consumer leaves a connection to the garbage collector when its app is closed.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]
EXAMPLES = Path(__file__).parents[2] / "examples"
PASSWORD = "the-password-of-the-broker"
FLOWER = "viewer:the-password-of-flower"


class TcpValkey(Valkey):
    """The broker as seen from another machine: TCP with a password."""

    def __init__(self, place: Path) -> None:
        self.port = free_port()
        super().__init__(place / "data", place / "run")

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def ready(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def _child(self, program: Path) -> ChildSpec:
        child = super()._child(program)
        here = ("--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD)
        words = [*child.argv, *here]
        at = words.index("--port")
        return replace(child, argv=[*words[:at], *words[at + 2 :]])


@pytest.fixture(scope="module")
def deployment(
    servers: tuple[Postgres, Valkey], template: str, directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    postgres, _ = servers
    _administer(postgres, f"CREATE DATABASE triggers TEMPLATE {template}")
    place = directory / "t"
    place.mkdir(mode=0o755)
    valkey = TcpValkey(place).start().wait_ready()

    def settings(simulator_url: str, **changes: Any) -> Any:
        return settings_for(_url(postgres, "triggers"), directory, simulator_url, **changes)

    files = tmp_path_factory.mktemp("triggers")
    made = deployed(settings, files, 240, accounts=3, broker_url=valkey.url, result_backend=valkey.url)
    try:
        made.worker(options=("-Q", "spotisync.sync,spotisync.control,spotisync.playback"))
        yield made
    finally:
        made.stop()
        valkey.stop()
        _administer(postgres, "DROP DATABASE triggers WITH (FORCE)")


def environment(deployment: Deployment, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPOTI", "PYTHONPATH"))}
    return {**inherited, "BROKER_URL": deployment.settings.broker, **more}


def test_the_client_starts_waits_and_cancels(deployment: Deployment) -> None:
    account = deployment.account(0).name
    with Client(deployment.settings.broker) as client:
        first = client.full_sync(account, "the key")
        summary = first.get(timeout=60)
        assert (summary["status"], summary["account"]) == ("success", account)
        assert client.full_sync(account, "the key").get(timeout=60)["sync_id"] == summary["sync_id"]
        assert client.running(first.id).get(timeout=60) == summary
        with pytest.raises(Fatal, match="No run 1000000000"):
            client.resume_sync(10**9).get(timeout=60)
        assert client.track_playback(account).get(timeout=60)["accounts"][0]["error"] is None
        assert client.enrich().get(timeout=60)["looked_up"] == 0
        control = deployment.simulator.control
        control.add_fault(kind="hold", path="/v1/me/tracks")
        second = client.full_sync(account)
        wait_until(control.held_requests, "the first request")
        with pytest.raises(TimeoutError, match="its state is SYNCING"):
            second.get(timeout=0.1)
        sync_id = deployment.scalar("SELECT max(id) FROM sync_history")
        assert client.cancel_sync(sync_id).get(timeout=60) == {"sync_id": sync_id, "status": "cancelled"}
        with pytest.raises(SyncCancelled, match=f"run {sync_id} cancelled"):
            second.get(timeout=60)
        control.clear_faults()
        control.release()


def test_a_python_service_chains_its_own_task_after_a_sync(deployment: Deployment) -> None:
    account = deployment.account(1)
    place = EXAMPLES / "python_service"
    env = environment(deployment, PYTHONPATH=str(place))
    log = deployment.directory / "service.log"
    celery = [sys.executable, "-m", "celery", "-A", "service", "worker", "-c", "1", "-Q", "reports", "-n", "s@test"]
    with log.open("wb") as output, subprocess.Popen(celery, env=env, cwd=place, stdout=output, stderr=output) as worker:
        try:
            made = _run([sys.executable, "service.py", account.name, "one"], place, env)
            assert made.returncode == 0, made.stderr
            assert made.stdout == f"{account.name} has {_tracks(deployment, account)} tracks\n"
            failed = _run([sys.executable, "service.py", "nobody", "two"], place, env)
            assert failed.returncode == 1
            assert "Unknown account 'nobody'" in failed.stderr
            wait_until(lambda: "no report: Unknown account 'nobody'" in log.read_text(), "the errback")
        finally:
            worker.terminate()
            worker.wait(60)


def _tracks(deployment: Deployment, account: Account) -> int:
    found: int = deployment.scalar(
        """SELECT count(*) FROM saved_tracks s JOIN accounts a ON a.id = s.account_id
        WHERE a.spotify_user_id = :name AND s.removed_at IS NULL""",
        name=account.name,
    )
    return found


def _run(argv: list[str], place: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=place, env=env, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def node_service(tmp_path: Path) -> Path:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not here")
    for name in ("package.json", "package-lock.json", "sync.js"):
        shutil.copy(EXAMPLES / "node_service" / name, tmp_path)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    done = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        pytest.skip(f"npm can't install celery-node here: {done.stderr[-200:]}")
    return tmp_path


def test_a_node_service_starts_a_sync_and_gets_its_summary(deployment: Deployment, node_service: Path) -> None:
    account = deployment.account(2)
    result = _run(["node", "sync.js", account.name, "from-node"], node_service, environment(deployment))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["account"] == account.name
    assert deployment.sql("SELECT 1 FROM sync_history WHERE idempotency_key = 'from-node' AND status = 'success'")
    refused = _run(["node", "sync.js", "nobody"], node_service, environment(deployment))
    assert refused.returncode == 1
    assert "Unknown account 'nobody'" in refused.stderr


def test_the_lock_file_of_the_node_service_names_no_host() -> None:
    lock = json.loads((EXAMPLES / "node_service" / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/celery-node"]["version"] == "0.5.9"
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_curl_follows_a_run_to_its_end(deployment: Deployment) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    web = deployment._start("web", [sys.executable, "-m", "spotisync", "web", "--port", str(port)], {})
    try:
        wait_until(lambda: _answers(url, "/healthz"), f"the page to answer, see {web.log}")
        env = environment(deployment, SPOTISYNC_URL=url, SPOTISYNC_POLL="0.2")
        account = deployment.account(0).name
        done = _run(["sh", "curl.sh", account, "full", "by-curl"], EXAMPLES, env)
        assert done.returncode == 0, done.stderr
        assert "success" in done.stdout
        assert _run(["sh", "curl.sh", "nobody"], EXAMPLES, env).returncode == 2
    finally:
        web.end()


# ---- Flower ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def flower(deployment: Deployment) -> Iterator[str]:
    changes = {"flower_port": free_port(), "flower_auth": FLOWER, "data_dir": deployment.directory}
    settings = deployment.settings.model_copy(update=changes)
    (process,) = processes.flower_process(settings)
    program = deployment._start("flower", [str(word) for word in process.child.argv], dict(process.child.env))
    assert settings.flower_url
    assert FLOWER not in str(process.child.argv)
    try:
        wait_until(lambda: _answers(settings.flower_url), "Flower")
        yield str(settings.flower_url)
    finally:
        program.end()


def _answers(url: str | None, path: str = "/healthcheck") -> bool:
    try:
        with urlopen(f"{url}{path}", timeout=5) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def ask(url: str, auth: str = FLOWER) -> Any:
    header = {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"} if auth else {}
    with urlopen(Request(url, headers=header), timeout=20) as reply:  # noqa: S310
        return json.load(reply)


def test_flower_shows_a_run_with_its_state_and_progress(deployment: Deployment, flower: str) -> None:
    for auth in ("", "viewer:wrong"):
        with pytest.raises(HTTPError, match="401"):
            ask(f"{flower}/api/tasks", auth)
    wait_until(lambda: ask(f"{flower}/api/workers?refresh=1"), "Flower to list the worker")
    account = deployment.account(0).name
    control = deployment.simulator.control
    control.add_fault(kind="hold", path="/v1/me/playlists")  # the last phase
    with Client(deployment.settings.broker) as client:
        running = client.full_sync(account)
        wait_until(control.held_requests, "the phase of playlists")
        seen = wait_until(lambda: _progress(flower, running.id, "albums"), "its progress in Flower")
        sync_id = deployment.scalar("SELECT max(id) FROM sync_history")
        assert seen["result"].startswith(f"run {sync_id} of {account}, albums, batch ")
        control.clear_faults()
        control.release()
        assert running.get(timeout=60)["status"] == "success"
    over = wait_until(lambda: _in_state(flower, running.id, "SUCCESS"), "the end of the run in Flower")
    assert f"'sync_id': {sync_id}" in over["result"]
    rows = ask(f"{flower}/api/tasks?taskname=spotisync.batch&limit=500")
    labels = {row["kwargs"] for row in rows.values()}
    assert f"run {sync_id} of {account}, tracks, batch 0" in labels
    assert all(label.startswith("run ") for label in labels)
    _no_secret(deployment, ask(f"{flower}/api/tasks?limit=10000"), ask(f"{flower}/api/workers?refresh=1"))


def _progress(flower: str, task_id: str, phase: str) -> Any:
    row = _in_state(flower, task_id, "PROGRESS")
    return row if row and phase in (row["result"] or "") else None


def _in_state(flower: str, task_id: str, state: str) -> Any:
    try:
        row = ask(f"{flower}/api/task/info/{task_id}")
    except HTTPError:
        return None
    return row if row["state"] == state else None


def _no_secret(deployment: Deployment, *answers: Any) -> None:
    logins = deployment.simulator.app.logins
    own = deployment.settings
    secrets = {PASSWORD, FLOWER, own.secret_key, own.client_secret, *logins._grants, *logins._access} - {None}
    result = json.dumps(answers)
    assert len(result) > 1000
    assert [secret for secret in secrets if str(secret) in result] == []
