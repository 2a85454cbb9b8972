"""`spotisync web` as a process: its start, its end, and database outages."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from spotisync.cli.processes import page_url
from spotisync.errors import Fatal
from spotisync.settings import Settings
from spotisync.stack.postgres import Postgres
from spotisync.store import migrate
from spotisync.web.server import format_url, listen
from tests.conftest import QUICK
from tests.support.waiting import wait_until
from tests.system.command_line import InProcess
from tests.system.programs import environment
from tests.web.served import Viewer, served

SECRET = "c0de-of-spotify"


class Web:
    """A process of `spotisync web` and its log."""

    def __init__(self, settings: Settings, log: Path, **env: str) -> None:
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spotisync", "web", "--port", "0"],
                env={**environment(settings), "SPOTISYNC_LOG_LEVEL": "DEBUG", "PYTHONUNBUFFERED": "1", **env},
                cwd=log.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def url(self) -> str:
        wait_until(
            lambda: "listens at " in self.log.read_text() or self.process.poll() is not None, "the server to listen"
        )
        return self.log.read_text().partition("listens at ")[2].partition(". ")[0]

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.log.read_text()


@pytest.fixture
def start(make_settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Callable[..., Web]]:
    made: list[Web] = []

    def start(env: dict[str, str] | None = None, **changes: object) -> Web:
        made.append(Web(make_settings("http://127.0.0.1:1", **changes), tmp_path / f"{len(made)}.log", **(env or {})))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.wait()


@pytest.mark.slow
def test_stops_within_seconds_despite_viewers_and_logs_no_secret(start: Callable[..., Web]) -> None:
    web = start()
    with httpx.Client(timeout=30) as client:
        url = web.url()
        viewers = [Viewer(client, f"{url}/api/sync/events") for _ in range(3)]
        assert all(viewer.next()[0] == "status" for viewer in viewers)
        client.get(f"{url}/accounts/callback?code={SECRET}&state={SECRET}")
        client.get(f"{url}/api/sync/status", headers={"Authorization": f"Bearer {SECRET}"})
        web.end()
        assert [viewer.next() for viewer in viewers] == [("", None)] * 3
        for viewer in viewers:
            viewer.close()
    assert "Stopped." in web.log.read_text()
    assert "GET /accounts/callback" in web.log.read_text()
    assert SECRET not in web.log.read_text()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A Postgres server that the test may stop."""
    with tempfile.TemporaryDirectory(prefix="sw-", dir="/tmp", ignore_cleanup_errors=True) as name:
        place = Path(name)
        place.chmod(0o711)
        postgres = Postgres(place / "data", place / "run", QUICK).start().wait_ready()
        migrate.upgrade(postgres.url)
        yield postgres
        postgres.stop()


@pytest.mark.slow
def test_reports_a_postgres_outage_and_recovers(own_postgres: Postgres, make_app: Callable[..., FastAPI]) -> None:
    own_postgres.stop()
    with served(make_app(database_url=own_postgres.url)) as url, httpx.Client(timeout=30) as client:
        assert client.get(f"{url}/api/sync/events").status_code == 503, "the database was unreachable from the start"
        own_postgres.start().wait_ready()
        wait_until(
            lambda: client.get(f"{url}/api/sync/status").status_code == 200,
            "the status page to answer again",
        )
        viewer = Viewer(client, f"{url}/api/sync/events")
        assert viewer.next()[0] == "status"
        own_postgres.stop()
        refused = client.get(f"{url}/api/sync/status")
        assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
        assert client.get(f"{url}/healthz").status_code == 200
        assert viewer.next()[0] == "unavailable"
        own_postgres.start().wait_ready()
        assert viewer.next()[0] == "status", "the same viewer recovers without reconnecting"
        viewer.close()


def test_refuses_to_listen_for_other_hosts_without_a_token(make_settings: Callable[..., Settings]) -> None:
    cli = InProcess(environment(make_settings("http://127.0.0.1:1")))
    result = cli("web", "--host", "0.0.0.0", "--port", "0")
    assert (result.code, result.out) == (2, "")
    assert "SPOTISYNC_API_TOKEN" in result.err
    assert InProcess({**cli.env, "SPOTISYNC_HOST": "::"})("up").code == 2, "no process has started yet"


def test_reports_a_port_in_use_with_a_remedy() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(Fatal, match=r"choose another port: SPOTISYNC_PORT=\d+"):
        listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(Fatal, match=r"on 192\.0\.2\.1, "):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:8"),
        ("0.0.0.0", "http://127.0.0.1:8"),
        ("::", "http://[::1]:8"),
        ("::1", "http://[::1]:8"),
        ("localhost", "http://localhost:8"),
    ],
)
def test_prints_the_address_for_a_browser(host: str, shown: str) -> None:
    assert format_url(host, 8) == shown


@pytest.mark.slow
def test_the_printed_address_contains_the_root_path(
    start: Callable[..., Web], make_settings: Callable[..., Settings]
) -> None:
    web = start(root_path="/spotify")
    assert web.url().endswith("/spotify")
    assert 'href="/spotify/static/spotisync.css"' in httpx.get(web.url(), timeout=30).text
    settings = make_settings("http://127.0.0.1:1", port=8, root_path="/spotify")
    assert page_url(settings) == "http://127.0.0.1:8/spotify"
