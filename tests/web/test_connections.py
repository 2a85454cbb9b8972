"""Clients that send nothing, or only a part of a request, over real sockets."""

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from spotisync.settings import Settings
from spotisync.web import connections
from spotisync.web.middleware import body
from spotisync.web.middleware.concurrency import MAX_CONCURRENT
from tests.support.store import Store
from tests.support.waiting import wait_until
from tests.web.conftest import TOKEN
from tests.web.served import served
from tests.web.test_server import Web, start  # noqa: F401 (fixture)

HALF_OPEN = 300
FILES = 256
UNFINISHED = b"POST /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nsync_type="


@pytest.fixture
def connect() -> Iterator[Callable[[str, bytes], socket.socket]]:
    with ExitStack() as stack:

        def connect(url: str, data: bytes) -> socket.socket:
            address = httpx.URL(url)
            opened = stack.enter_context(socket.create_connection((address.host, address.port or 0), 60))
            opened.sendall(data)
            return opened

        yield connect


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    received = b""
    try:
        while more := connection.recv(65536):
            received += more
    except ConnectionResetError:
        pass
    return received


def test_unfinished_bodies_take_no_turns_and_are_answered_after_a_deadline(
    make_app: Callable[..., FastAPI],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[[str, bytes], socket.socket],
) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 3.0)
    with served(make_app()) as url:
        slow = [connect(url, UNFINISHED) for _ in range(4 * MAX_CONCURRENT)]
        assert httpx.get(f"{url}/", timeout=2).status_code == 200
        for each in slow:
            assert read_all(each).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_ends_early_is_not_processed(
    make_app: Callable[..., FastAPI], store: Store, connect: Callable[[str, bytes], socket.socket]
) -> None:
    with served(make_app()) as url:
        connect(url, UNFINISHED).close()
        assert httpx.get(f"{url}/", timeout=10).status_code == 200
    assert store.sql("SELECT count(*) FROM sync_history")[0][0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /"])
def test_headers_have_a_deadline(
    make_app: Callable[..., FastAPI],
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[[str, bytes], socket.socket],
    data: bytes,
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 1)
    with served(make_app()) as url:
        received = read_all(connect(url, data))
        assert received.startswith(b"HTTP/1.1 200 ") == (b"\r\n\r\n" in data)


def test_a_trickled_request_is_closed_after_the_deadline(
    make_app: Callable[..., FastAPI],
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[[str, bytes], socket.socket],
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 1)
    with served(make_app()) as url:
        trickled = connect(url, b"GET / HTTP/1.1\r\n")
        wait_until(lambda: not send(trickled, b"X-Header: 1\r\n"), "the connection to be closed")


def send(connection: socket.socket, data: bytes) -> bool:
    """Return False once the server has closed the connection."""
    try:
        connection.sendall(data)
    except ConnectionError:
        return False
    return True


def test_a_request_that_takes_long_to_answer_is_not_closed(
    make_app: Callable[..., FastAPI], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 1)
    app = make_app()
    app.get("/slow")(lambda: time.sleep(2))
    with served(app) as url:
        assert httpx.get(f"{url}/slow", timeout=30).status_code == 200


@pytest.mark.slow
def test_above_the_limit_the_oldest_incomplete_connection_is_closed(
    make_app: Callable[..., FastAPI],
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[[str, bytes], socket.socket],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(connections, "get_connection_limit", lambda: 20)
    monkeypatch.setattr(connections.WebConnection, "_warned_at", float("-inf"))
    with served(make_app()) as url, httpx.stream("GET", f"{url}/api/sync/events", timeout=30) as events:
        opened = [connect(url, UNFINISHED[:-10]) for _ in range(40)]
        assert httpx.get(f"{url}/healthz", timeout=10).status_code == 200
        assert read_all(opened[0]) == b""
        assert next(events.iter_lines()) == "event: status", "a stream is not closed"
    assert [each for each in caplog.messages if "More than 20 connections" in each] == caplog.messages[:1]


@pytest.mark.slow
def test_few_files_and_many_half_open_connections(
    start: Callable[..., Web],  # noqa: F811
    make_settings: Callable[..., Settings],
    connect: Callable[[str, bytes], socket.socket],
) -> None:
    """As with `ulimit -n 256`: the server answers, and writes next to nothing to its log."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, before[1]))
    try:
        web = start(api_token=TOKEN)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    url = web.url()
    for _ in range(HALF_OPEN):
        connect(url, b"GET / HTTP/1.1\r\n")
    for _ in range(20):
        assert httpx.get(f"{url}/healthz", timeout=10).status_code == 200
        assert httpx.get(f"{url}/login", timeout=10).status_code == 200
    files = Path(f"/proc/{web.process.pid}/fd")
    assert len(list(files.iterdir())) < FILES
    wait_until(lambda: len(list(files.iterdir())) < FILES / 4, "all half-open connections to be closed")
    assert web.log.stat().st_size < 20_000
    web.end()
