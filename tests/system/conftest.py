"""A deployment for a test: its own database and broker, a simulator, and its processes."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spotisync.settings import Settings
from spotisync.simulator import start
from spotisync.stack.postgres import Postgres
from spotisync.stack.valkey import Valkey
from spotisync.sync import Context
from tests.system.programs import Deployment

_numbers = itertools.count(1)


def empty_broker(directory: Path) -> str:
    """Empty one of the numbered databases of the server and return its URL."""
    import redis

    number = next(_numbers) % 16
    socket = directory / "run" / "valkey.sock"
    with redis.Redis(unix_socket_path=str(socket), db=number) as client:
        client.flushdb()
    return f"redis+socket://{socket}?virtual_host={number}"


@pytest.fixture
def broker_url(servers: tuple[Postgres, Valkey], directory: Path) -> str:
    return empty_broker(directory)


def deployed(
    settings_for: Callable[..., Settings], directory: Path, library: str | int, *, accounts: int = 1, **changes: Any
) -> Deployment:
    """Deploy a library of a given size, with batches so small that each phase has several."""
    simulator = start(library, seed=5, accounts=accounts)
    settings = settings_for(
        simulator.url,
        **{
            "tracks_batch_size": 100,
            "artists_batch_size": 50,
            "albums_batch_size": 40,
            "sweep_interval": 1,
            "lease_seconds": 20,  # a message lost unnoticed is published again after a quarter of the lease
            "timezone": "UTC",
            "full_sync_schedule": "",
            "incremental_interval": 0,
            "playback_interval": 0,
            **changes,
        },
    )
    return Deployment(settings, simulator, Context.from_settings(settings), directory)


@pytest.fixture
def deploy(
    make_settings: Callable[..., Settings], broker_url: str, tmp_path: Path
) -> Iterator[Callable[..., Deployment]]:
    made: list[Deployment] = []

    def make(library: str | int = 400, *, broker: str = broker_url, **changes: Any) -> Deployment:
        made.append(deployed(make_settings, tmp_path, library, broker_url=broker, **changes))
        return made[-1]

    yield make
    for deployment in made:
        deployment.stop()


@pytest.fixture
def own_place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="so-", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def own_valkey(own_place: Path) -> Iterator[Valkey]:
    """A Valkey server that the test may kill."""
    valkey = Valkey(own_place / "data", own_place / "run").start().wait_ready()
    yield valkey
    valkey.stop()
