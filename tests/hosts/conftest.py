"""A deployment on several hosts: Postgres, the broker and Spotify on one each; a test adds workers and beats.

The tests themselves run on Spotify's host.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from spotisync.settings import Settings
from spotisync.stack.postgres import PORT, Postgres
from spotisync.stack.process import ChildSpec, stop_all
from spotisync.stack.valkey import Valkey
from tests.conftest import QUICK
from tests.hosts.cluster import Cluster, Site
from tests.hosts.network import Network, find_obstacle
from tests.system.conftest import deployed, empty_broker

BROKER_PORT = 6379
_numbers = itertools.count(1)


class NetworkValkey(Valkey):
    """Listens on a port too."""

    def _child(self, program: Path) -> ChildSpec:
        child = super()._child(program)
        return replace(child, argv=[*child.argv, "--port", str(BROKER_PORT), "--protected-mode", "no"])


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    network = Network()
    yield Site(network, *map(network.add, ("db", "broker", "spotify")))
    network.close()


@pytest.fixture(scope="session")
def servers(site: Site, directory: Path) -> Iterator[tuple[Postgres, Valkey]]:
    """Each on its host. Unix sockets, which belong to no network, lead to them too."""
    rules = directory / "trust.conf"
    rules.write_text("local all all trust\nhost all all samenet trust\n")
    rules.chmod(0o644)
    options = {**QUICK, "hba_file": str(rules), "listen_addresses": site.db.address}
    postgres = Postgres(directory / "data", directory / "run", options)
    valkey = NetworkValkey(directory / "data", directory / "run")
    try:
        with site.db.inside():
            postgres.start()
        with site.broker.inside():
            valkey.start()
        yield postgres.wait_ready(), valkey.wait_ready()
    finally:
        stop_all([postgres, valkey])


@pytest.fixture
def database_url(database_url: str, site: Site) -> str:
    url = make_url(database_url).set(host=site.db.address, port=PORT, query={})
    return url.render_as_string(hide_password=False)


@pytest.fixture
def cluster(
    site: Site,
    servers: tuple[Postgres, Valkey],
    make_settings: Callable[..., Settings],
    directory: Path,
    tmp_path: Path,
) -> Iterator[Callable[..., Cluster]]:
    """Deploy a library, so far without workers and beats."""
    made: list[Cluster] = []

    def make(library: int = 400, **changes: Any) -> Cluster:
        number = next(_numbers) % 16
        empty_broker(directory, number)
        broker_url = f"redis://{site.broker.address}:{BROKER_PORT}/{number}"
        deployment = deployed(
            make_settings, tmp_path, library, host=site.spotify.address, broker_url=broker_url, **changes
        )
        made.append(Cluster(site, deployment))
        return made[-1]

    with site.spotify.inside():
        yield make
        for each in made:
            each.deployment.stop()
