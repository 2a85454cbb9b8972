"""Real servers for the tests: one Postgres and one Valkey per test process, one database per test."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy.engine import make_url

from spotisync.settings import Settings
from spotisync.simulator import Server, start
from spotisync.stack.postgres import Postgres
from spotisync.stack.valkey import Valkey
from spotisync.store import migrate
from spotisync.sync import Context, accounts
from tests.support.driver import Account
from tests.support.servers import as_superuser, start_servers, trust_every_role

hypothesis_settings.register_profile(
    "spotisync", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("spotisync")

SECRET_KEY = "c3BvdGlzeW5jLXRlc3RzLW9ubHktMzItYnl0ZXMtISE="
# Tests check that data survives the end of a process, not the loss of the machine.
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: the system tests mostly wait for the processes that they have started."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest, so that no process is left with it at the end."""
    items.sort(key=lambda item: (item.path.name != "test_demo.py", "system" not in item.path.parts))


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """A short path, because of sockets, that the user of Postgres can read."""
    path = Path(tempfile.mkdtemp(prefix="spotisync-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(directory: Path) -> Iterator[tuple[Postgres, Valkey]]:
    options = {**QUICK, **trust_every_role(directory)}
    with start_servers(directory / "data", directory / "run", options) as (postgres, valkey):
        with psycopg.connect(as_superuser(postgres.url.replace("+psycopg", ""))) as connection:
            connection.execute("GRANT SET ON PARAMETER deadlock_timeout TO spotisync")
        yield postgres, valkey


@pytest.fixture(scope="session")
def postgres(servers: tuple[Postgres, Valkey]) -> Postgres:
    return servers[0]


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database with all tables, to be copied."""
    _administer(postgres, "CREATE DATABASE template_spotisync")
    migrate.upgrade(_url(postgres, "template_spotisync"))
    return "template_spotisync"


_numbers = itertools.count(1)


@pytest.fixture
def database_url(postgres: Postgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")  # cheaper without fsync
    yield _url(postgres, name)
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database_url(postgres: Postgres) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _administer(postgres, f"CREATE DATABASE {name}")
    yield _url(postgres, name)
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def _url(postgres: Postgres, database: str) -> str:
    return make_url(postgres.url).set(database=database).render_as_string(hide_password=False)


def _administer(postgres: Postgres, statement: str) -> None:
    url = make_url(postgres.url)
    with psycopg.connect(
        host=str(url.query["host"]), user=url.username, dbname=url.database, autocommit=True
    ) as connection:
        connection.execute(statement)  # type: ignore[arg-type, unused-ignore]


@pytest.fixture
def simulator() -> Iterator[Server]:
    """A simulator with a tiny library, in a thread of this process."""
    with start("tiny", seed=7) as server:
        yield server


def settings_for(database: str, directory: Path, simulator_url: str, **changes: Any) -> Settings:
    return Settings(
        _env_file=None,
        **{
            "database_url": database,
            "data_dir": directory / "data",
            "client_id": "simulated",
            "secret_key": SECRET_KEY,
            "api_rate": 0,
            "spotify_api_url": f"{simulator_url}/v1",
            "spotify_accounts_url": simulator_url,
            **changes,
        },
    )


@pytest.fixture
def make_settings(database_url: str, directory: Path) -> Callable[..., Settings]:
    return partial(settings_for, database_url, directory)


@pytest.fixture
def make_context(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Context]]:
    """Make a `Context` for a simulator. Several contexts behave like several worker processes."""
    made: list[Context] = []

    def make(simulator: Server, **changes: Any) -> Context:
        context = Context.from_settings(make_settings(simulator.url, **changes))
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def context(simulator: Server, make_context: Callable[..., Context]) -> Context:
    return make_context(simulator)


@pytest.fixture
def account(context: Context, simulator: Server) -> Account:
    return Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
