"""The application in this process with a real Postgres, used by a local client."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from spotisync.settings import Settings
from spotisync.stack.postgres import Postgres
from spotisync.store.database import Database
from spotisync.store.runs import Run
from spotisync.web import create_app
from tests.conftest import _administer, _url
from tests.integration.conftest import database_url as database_url  # noqa: PLC0414
from tests.integration.conftest import store as store  # noqa: PLC0414
from tests.support.store import Store

with warnings.catch_warnings():
    # Starlette recommends httpx2, which behaves the same.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

__all__ = ["Broker", "TestClient"]
HERE = "http://127.0.0.1:8420"
TOKEN = "a-token-that-is-long-enough"


class Broker:
    """Records what is published, in place of a broker; unreachable on request."""

    def __init__(self) -> None:
        self.published: list[int] = []
        self.sweeps = 0
        self.away = False

    def publish(self, run: Run) -> bool:
        if not self.away:
            self.published.append(run.id)
        return not self.away

    def request_sweep(self) -> None:
        self.sweeps += 1


@pytest.fixture(scope="session")
def shared_url(postgres: Postgres, template: str) -> str:
    """Another database than that of the integration tests, also created once."""
    _administer(postgres, f"CREATE DATABASE web TEMPLATE {template}")
    _administer(postgres, "ALTER DATABASE web SET lock_timeout = '60s'")
    return _url(postgres, "web")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def make_app(make_settings: Callable[..., Settings], broker: Broker) -> Iterator[Callable[..., FastAPI]]:
    """Create the application with changed settings."""
    made: list[FastAPI] = []

    def make(**changes: Any) -> FastAPI:
        settings = make_settings("http://127.0.0.1:1", **{"timezone": "UTC", **changes})
        made.append(create_app(settings, publish=broker.publish, request_sweep=broker.request_sweep))
        return made[-1]

    yield make
    for app in made:
        app.state.context.close()


@pytest.fixture
def make_client(make_app: Callable[..., FastAPI]) -> Callable[..., TestClient]:
    """Create a client that follows no redirects and returns errors as responses."""

    def make(**changes: Any) -> TestClient:
        return TestClient(make_app(**changes), base_url=HERE, follow_redirects=False)

    return make


@pytest.fixture
def client(make_client: Callable[..., TestClient], store: Store) -> TestClient:
    """A client of an application with one account, `me`."""
    return make_client()
