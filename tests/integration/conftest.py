"""A database for each test, and a store with one account."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from spotisync.simulator import Server
from spotisync.stack.postgres import Postgres
from spotisync.store import migrate
from spotisync.store.database import Database
from spotisync.sync import Context
from tests.conftest import _administer, _url, settings_for
from tests.support import clock
from tests.support.clock import Clock, TimedContext
from tests.support.store import Store


@pytest.fixture(scope="session")
def shared_url(postgres: Postgres, template: str) -> str:
    _administer(postgres, f"CREATE DATABASE store TEMPLATE {template}")
    # A statement that would wait for a lock forever fails instead.
    _administer(postgres, "ALTER DATABASE store SET lock_timeout = '60s'")
    return _url(postgres, "store")


EMPTIED = (
    "accounts", "waiters", "playlists", "tracks", "albums", "artists", "episodes", "shows", "audiobooks",
    "rate_limits", "apps", "call_ledger", "budgets", "paces",
    "reply_shapes", "reply_statuses", "drift_alarms", "heartbeats", "ended_sessions",
)  # fmt: skip


@pytest.fixture
def database_url(shared_url: str) -> str:
    """Emptied instead of created again, which is faster."""
    engine = create_engine(shared_url)
    with engine.begin() as connection:
        for table in EMPTIED:
            connection.execute(text(f"DELETE FROM {table}"))
    engine.dispose()
    return shared_url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def store(database: Database) -> Store:
    made = Store(database)
    made.account_id = made.account()
    return made


@pytest.fixture(scope="session")
def timed_template(postgres: Postgres) -> str:
    """A database with a movable clock and all tables, to be copied."""
    _administer(postgres, "CREATE DATABASE template_timed")
    url = _url(postgres, "template_timed")
    clock.install(url)
    migrate.upgrade(url)
    return "template_timed"


_numbers = itertools.count(1)


@pytest.fixture
def timed_database_url(postgres: Postgres, timed_template: str) -> Iterator[str]:
    """A database of its own with a movable clock."""
    name = f"timed_{next(_numbers)}"
    _administer(postgres, f"CREATE DATABASE {name} TEMPLATE {timed_template} STRATEGY FILE_COPY")
    clock.set_search_path(_url(postgres, name))
    yield _url(postgres, name)
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def make_timed_context(timed_database_url: str, directory: Path) -> Iterator[Callable[..., TimedContext]]:
    """Make a context for a simulator on the database with the movable clock. `changes`: settings of spotisync."""
    with ExitStack() as stack:

        def make(simulator: Server, **changes: object) -> TimedContext:
            settings = settings_for(timed_database_url, directory, simulator.url, **changes)
            context = stack.enter_context(closing(Context.from_settings(settings)))
            mover = stack.enter_context(Clock(timed_database_url, simulator.control))
            return TimedContext(context, simulator, mover)

        yield make


@pytest.fixture
def timed_context(simulator: Server, make_timed_context: Callable[..., TimedContext]) -> TimedContext:
    return make_timed_context(simulator)
