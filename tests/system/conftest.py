"""A deployment for a test: its own database and broker, a simulator, and its processes."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spotisync.settings import Settings
from spotisync.simulator import start
from spotisync.stack.postgres import Postgres
from spotisync.stack.valkey import Valkey
from spotisync.sync import Context
from tests.conftest import _administer, _url, settings_for
from tests.system.programs import Deployment, ForeignService

_numbers = itertools.count(1)


def empty_broker(directory: Path, number: int) -> str:
    """Empty one of the sixteen databases of the server and return its URL."""
    import redis

    socket = directory / "run" / "valkey.sock"
    with redis.Redis(unix_socket_path=str(socket), db=number) as client:
        client.flushdb()
    return f"redis+socket://{socket}?virtual_host={number}"


@pytest.fixture
def broker_url(servers: tuple[Postgres, Valkey], directory: Path) -> str:
    return empty_broker(directory, 1 + next(_numbers) % 15)


def deployed(
    make_settings: Callable[..., Settings],
    directory: Path,
    library: str | int,
    *,
    accounts: int = 1,
    others: int | None = None,
    host: str = "127.0.0.1",
    **changes: Any,
) -> Deployment:
    """Deploy a library of a given size, with batches so small that each phase has several. `host`: the simulator's."""
    simulator = start(library, seed=5, accounts=accounts, others=others, host=host)
    settings = make_settings(
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


@pytest.fixture(scope="session")
def shared_others(
    servers: tuple[Postgres, Valkey], template: str, directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ForeignService]:
    """One deployment for the tests of the group `shared`: starting a worker takes longer than most of them."""
    postgres, _ = servers
    _administer(postgres, f"CREATE DATABASE shared TEMPLATE {template}")
    place = tmp_path_factory.mktemp("shared")
    settings = partial(settings_for, _url(postgres, "shared"), directory)
    deployment = deployed(settings, place, 360, accounts=3, broker_url=empty_broker(directory, 0))
    deployment.beat()
    deployment.worker(concurrency=3)  # the simulator may hold two of them
    yield ForeignService(deployment, place)
    deployment.stop()
    _administer(postgres, "DROP DATABASE shared WITH (FORCE)")


@pytest.fixture
def others(shared_others: ForeignService) -> ForeignService:
    """The shared deployment, emptied, with another service beside it."""
    shared_others.reset()
    return shared_others


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
