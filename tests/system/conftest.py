"""A deployment for a test: its own database and broker, a simulator, and what it starts."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spotisync.settings import Settings
from spotisync.simulator import start
from spotisync.stack.postgres import Postgres
from spotisync.stack.valkey import Valkey
from spotisync.sync import Sync
from tests.system.programs import Deployment

_numbers = itertools.count(1)


@pytest.fixture
def broker_url(servers: tuple[Postgres, Valkey], directory: Path) -> str:
    """One of the server's numbered databases, empty."""
    import redis

    number = next(_numbers) % 16
    socket = directory / "run" / "valkey.sock"
    with redis.Redis(unix_socket_path=str(socket), db=number) as client:
        client.flushdb()
    return f"redis+socket://{socket}?virtual_host={number}"


@pytest.fixture
def deploy(
    make_settings: Callable[..., Settings], broker_url: str, tmp_path: Path
) -> Iterator[Callable[..., Deployment]]:
    """Make a deployment: a library of so many tracks, batches small enough that there are several in each phase."""
    made: list[Deployment] = []

    def make(library: str | int = 400, *, broker: str = broker_url, accounts: int = 1, **changes: object) -> Deployment:
        simulator = start(library, seed=5, accounts=accounts)
        settings = make_settings(
            simulator.url,
            **{
                "broker_url": broker,
                "tracks_batch_size": 100,
                "artists_batch_size": 50,
                "albums_batch_size": 40,
                "sweep_interval": 1,
                "lease_seconds": 20,  # a message that is lost unnoticed is published again after a quarter of it
                "timezone": "UTC",
                "full_sync_schedule": "",
                "incremental_interval": 0,
                "playback_interval": 0,
                **changes,
            },
        )
        made.append(Deployment(settings, simulator, Sync.from_settings(settings), tmp_path))
        return made[-1]

    yield make
    for deployment in made:
        deployment.stop()
