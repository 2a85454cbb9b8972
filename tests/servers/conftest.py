"""Deployments with real brokers. Each server keeps its files in a directory of its own."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spotisync.settings import Settings
from spotisync.stack.postgres import Postgres
from spotisync.stack.valkey import Valkey
from tests.servers.scenario import Scenario
from tests.system.conftest import deployed, empty_broker


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="brokers-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def results_url(servers: tuple[Postgres, Valkey], directory: Path) -> str:
    """The embedded server, for brokers that keep no results."""
    return empty_broker(directory, 1)


@pytest.fixture
def scenario(make_settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Callable[..., Scenario]]:
    """Deploy a library, beat and a worker on a broker. `changes`: other settings."""
    made: list[Scenario] = []

    def make(broker_url: str, library: int = 1000, **changes: Any) -> Scenario:
        made.append(Scenario(deployed(make_settings, tmp_path, library, broker_url=broker_url, **changes)))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture(scope="session")
def certificate(servers_directory: Path) -> Path:
    """The certificate of a private authority, which is that of the server too. The key has the suffix `.key`."""
    path = servers_directory / "tls.crt"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", path.with_suffix(".key"), "-out", path], check=True, capture_output=True
    )
    return path
