"""A Redis in this process, and a clock that tests move."""

import time
from dataclasses import dataclass

import fakeredis
import pytest


@dataclass
class Clock:
    """What `time.time` and `time.monotonic` return, in the code under test and in fakeredis."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for name in ("time", "monotonic"):
        monkeypatch.setattr(time, name, made)
    return made


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> fakeredis.FakeServer:
    """The server that every client of redis-py connects to, whatever the URL. `connected = False` takes it away."""
    made = fakeredis.FakeServer()
    monkeypatch.setattr("redis.from_url", lambda *_, **__: fakeredis.FakeStrictRedis(server=made))
    return made
