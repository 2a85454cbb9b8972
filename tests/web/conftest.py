"""The application in this process, on the real Postgres, as a program on this machine sees it."""

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
    # Starlette would rather have httpx2, which it takes for the same.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

__all__ = ["Broker", "TestClient"]
HERE = "http://127.0.0.1:8420"
TOKEN = "a-token-that-is-long-enough"


class Broker:
    """What was published, instead of a broker; away when it is told to be."""

    def __init__(self) -> None:
        self.published: list[int] = []
        self.sweeps = 0
        self.away = False

    def publish(self, run: Run) -> bool:
        if not self.away:
            self.published.append(run.id)
        return not self.away

    def sweep_soon(self) -> None:
        self.sweeps += 1


@pytest.fixture(scope="session")
def shared_url(postgres: Postgres, template: str) -> str:
    """A database beside that of the store's tests, which is made once, too."""
    _administer(postgres, f"CREATE DATABASE web TEMPLATE {template}")
    _administer(postgres, "ALTER DATABASE web SET lock_timeout = '5s'")
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
    """The application with these settings changed."""
    made: list[FastAPI] = []

    def make(**changes: Any) -> FastAPI:
        settings = make_settings("http://127.0.0.1:1", timezone="UTC", **changes)
        made.append(create_app(settings, publish=broker.publish, sweep_soon=broker.sweep_soon))
        return made[-1]

    yield make
    for app in made:
        app.state.sync.close()


@pytest.fixture
def make_client(make_app: Callable[..., FastAPI]) -> Callable[..., TestClient]:
    """A client of it, which follows no redirect. Its errors are answers, as they are for others."""

    def make(**changes: Any) -> TestClient:
        return TestClient(make_app(**changes), base_url=HERE, follow_redirects=False)

    return make


@pytest.fixture
def client(make_client: Callable[..., TestClient], store: Store) -> TestClient:
    """There is an account, `me`."""
    return make_client()
