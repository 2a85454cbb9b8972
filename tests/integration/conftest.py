"""A database for each test, and a store with one account."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from spotisync.stack.postgres import Postgres
from spotisync.store.database import Database
from tests.conftest import _administer, _url
from tests.support.store import Store


@pytest.fixture(scope="session")
def shared_url(postgres: Postgres, template: str) -> str:
    _administer(postgres, f"CREATE DATABASE store TEMPLATE {template}")
    # A statement that would wait for a lock forever fails instead.
    _administer(postgres, "ALTER DATABASE store SET lock_timeout = '60s'")
    return _url(postgres, "store")


EMPTIED = (
    "accounts", "waiters", "playlists", "tracks", "albums", "artists", "rate_limits", "apps", "call_ledger",
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
