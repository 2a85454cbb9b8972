"""The application as a real server in a thread of this process, to test streams."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from spotisync.web.live.events import get_broadcast
from spotisync.web.server import WebServer, create_config, listen


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve the application and yield its URL. It ends with the block, despite connected viewers."""
    with listen("127.0.0.1", 0) as socket:
        server = WebServer(create_config(app), get_broadcast(app).close)
        thread = threading.Thread(target=server.run, args=([socket],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{socket.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive(), "the server does not end"


class Viewer:
    """A client of the event stream."""

    def __init__(self, client: httpx.Client, url: str, **headers: str) -> None:
        self._stream = client.stream("GET", url, headers=headers)
        self.answer = self._stream.__enter__()
        self._lines = self.answer.iter_lines()

    def next(self) -> tuple[str, Any]:
        """Read the next event: its kind and its data."""
        kind = ""
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            if name == "data":
                return kind, json.loads(value) if value.startswith(("{", "[")) else value
        return "", None

    def read_until(self, status: str) -> int:
        """Read until an event has this status; return the number of events."""
        for number in range(1, 100):
            kind, data = self.next()
            if (kind, data and data["status"]) == ("status", status):
                return number
        raise AssertionError(f"no event with the status {status}")

    def close(self) -> None:
        self._stream.__exit__(None, None, None)
