"""Health checks and metrics: correct, with clear messages, and always within their timeouts."""

import asyncio
import os
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from spotisync.broker import get_queue_lengths
from spotisync.celery import app as celery
from spotisync.settings import Settings
from spotisync.stack.valkey import Valkey
from spotisync.web import create_app
from spotisync.web.middleware.concurrency import MAX_CONCURRENT, ConcurrencyLimit
from spotisync.web.ops import health


@dataclass
class Page:
    """A client of the application without a server."""

    app: FastAPI

    def get(self, path: str, **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.get(path, headers=headers)

        return asyncio.run(ask())


Asking = Callable[..., Page]


@pytest.fixture
def asking(make_settings: Callable[..., Settings]) -> Iterator[Asking]:
    opened: list[Page] = []

    def ask(**changes: Any) -> Page:
        opened.append(Page(create_app(make_settings("http://127.0.0.1:9", **changes))))
        return opened[-1]

    yield ask
    for page in opened:
        page.app.state.context.close()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="so-", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        valkey = Valkey(Path(name) / "data", Path(name) / "run").start().wait_ready()
        yield valkey
        valkey.stop()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, servers: Any, directory: Path) -> Celery:
    """Set the broker that the probes check."""
    return use(monkeypatch, f"redis+socket://{directory / 'run' / 'valkey.sock'}?virtual_host=15")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a healthy database, too, may need longer to answer than the probes wait."""
    monkeypatch.setattr(health, "READY_SECONDS", 60.0)
    monkeypatch.setattr(health, "SCRAPE_SECONDS", 60.0)


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> Celery:
    made = Celery("probed", broker=url, set_as_current=False)
    made.conf.task_queues = celery.conf.task_queues
    monkeypatch.setattr(health, "celery", made)
    return made


def test_healthz_does_not_query_the_database(asking: Asking) -> None:
    answer = asking(database_url="postgresql://u@127.0.0.1:9/x").get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.usefixtures("patient")
def test_readyz_names_each_check(asking: Asking, app: Celery) -> None:
    answer = asking().get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert {name: check["ok"] for name, check in answer.json()["checks"].items()} == {
        "database": True, "migrations": True, "broker": True,
    }  # fmt: skip
    assert answer.json()["checks"]["database"]["says"].startswith("PostgreSQL ")


def test_reports_an_unreachable_or_outdated_database_with_a_remedy(
    asking: Asking, app: Celery, empty_database_url: str
) -> None:
    away = asking(database_url="postgresql://u@127.0.0.1:9/x").get("/readyz")
    assert away.status_code == 503
    checks = away.json()["checks"]
    assert "can't be reached" in checks["database"]["says"]
    assert "SPOTISYNC_DATABASE_URL" in checks["database"]["cure"]
    assert not checks["migrations"]["ok"]
    assert checks["broker"]["ok"]
    old = asking(database_url=empty_database_url).get("/readyz")
    assert old.status_code == 503
    assert "spotisync db upgrade" in old.json()["checks"]["migrations"]["cure"]


@pytest.mark.slow
def test_reports_a_database_that_never_answers_within_the_timeout(asking: Asking, app: Celery) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        page = asking(database_url=f"postgresql://u@127.0.0.1:{hole.getsockname()[1]}/x")
        for path, seconds in (("/readyz", health.READY_SECONDS), ("/metrics", health.SCRAPE_SECONDS)):
            began = time.monotonic()
            assert page.get(path).status_code == 503
            assert time.monotonic() - began < seconds + 20


@pytest.mark.slow
def test_reports_a_frozen_or_stopped_broker_within_the_timeout(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, valkey: Valkey
) -> None:
    use(monkeypatch, valkey.url)
    client = asking()
    assert client.get("/readyz").status_code == 200
    assert "spotisync_queue_messages" in client.get("/metrics").text
    process = valkey.pid
    assert process
    os.kill(process, signal.SIGSTOP)
    try:
        for _ in range(2):
            began = time.monotonic()
            answer = client.get("/readyz")
            assert time.monotonic() - began < 20  # the timeout of two seconds, on a busy machine
            assert answer.status_code == 503
            assert "SPOTISYNC_BROKER_URL" in answer.json()["checks"]["broker"]["cure"]
            assert answer.json()["checks"]["database"]["ok"]
        assert "spotisync_queue_messages" not in client.get("/metrics").text
    finally:
        os.kill(process, signal.SIGCONT)
    valkey.stop()
    assert not client.get("/readyz").json()["checks"]["broker"]["ok"]


def test_a_server_that_never_answers_occupies_one_thread() -> None:
    asked, answer = list[int](), threading.Event()

    def ask() -> None:
        asked.append(1)
        answer.wait()

    bounded = health.SingleFlight(ask)
    try:
        answers = {id(bounded.start()) for _ in range(50)}
        with pytest.raises(TimeoutError):
            bounded.start().result(0.01)
        assert len(answers) == len(asked) == 1
    finally:
        answer.set()


@pytest.mark.usefixtures("patient")
def test_metrics_can_be_parsed_by_prometheus(asking: Asking, app: Celery) -> None:
    client = asking()
    plain = client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    families = {each.name: each for each in text_string_to_metric_families(plain.text)}
    assert families["spotisync_runs"].type == "counter"
    assert {sample.name for sample in families["spotisync_runs"].samples} == {"spotisync_runs_total"}
    assert all(each.documentation.endswith(".") for each in families.values())
    assert all(name.startswith("spotisync_") for name in families)
    assert families["spotisync_request_seconds"].type == "histogram"
    listed = set(re.findall(r"spotisync_[a-z_]+", (Path(__file__).parents[2] / "docs/metrics.md").read_text()))
    samples = {
        each.name if each.type == "histogram" else sample.name for each in families.values() for sample in each.samples
    }
    empty = {name for name, each in families.items() if not each.samples}
    assert samples | empty <= listed, "docs/metrics.md lists them"
    modern = client.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")
    assert client.get("/metrics", Accept="application/openmetrics-text;version=abc").status_code == 200


def test_metrics_without_a_database_return_a_problem(asking: Asking, app: Celery) -> None:
    answer = asking(database_url="postgresql://u@127.0.0.1:9/x").get("/metrics")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "can't be reached" in answer.json()["detail"]
    assert "Traceback" not in answer.text


def test_reads_the_length_of_a_queue_from_the_broker(app: Celery) -> None:
    with app.connection_for_write() as connection, connection.channel() as opened:
        channel: Any = opened
        channel.client.delete(*(queue.name for queue in celery.conf.task_queues))
        channel.client.rpush("spotisync.sync", "a", "b")
        try:
            assert get_queue_lengths(app) == {
                "spotisync.sync": 2,
                "spotisync.interactive": 0,
                "spotisync.backlog": 0,
                "spotisync.control": 0,
                "spotisync.playback": 0,
                "spotisync.housekeeping": 0,
            }
        finally:
            channel.client.delete("spotisync.sync")


def test_probes_answer_while_hanging_requests_use_every_slot() -> None:
    """A frozen database blocks requests; probes must still report it."""
    answered = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        if scope["path"] == "/":
            await asyncio.Event().wait()
        answered.append(scope["path"])

    async def ask() -> None:
        turns = ConcurrencyLimit(app)
        asking = [
            {"type": "http", "path": path} for path in ["/"] * MAX_CONCURRENT + ["/readyz", "/metrics", "/healthz"]
        ]
        tasks = [asyncio.ensure_future(turns(scope, None, None)) for scope in asking]  # type: ignore[arg-type]
        await asyncio.wait(tasks[MAX_CONCURRENT:], timeout=60)
        for task in tasks:
            task.cancel()

    asyncio.run(ask())
    assert answered == ["/readyz", "/metrics", "/healthz"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("accept", ["version=abc", "version=", "version=1.0.0;escaping=none", "version=9.9"])
def test_metrics_come_in_an_available_format_for_any_accept_header(asking: Asking, app: Celery, accept: str) -> None:
    for kind in ("application/openmetrics-text", "text/plain"):
        answer = asking(broker_url="memory://").get("/metrics", Accept=f"{kind};{accept}")
        assert answer.status_code == 200, answer.text
        assert "spotisync_build_info" in answer.text
