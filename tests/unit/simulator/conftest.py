from collections.abc import Iterator

import pytest

from spotisync.simulator import Server, start

from .reader import Reader


@pytest.fixture
def server() -> Iterator[Server]:
    """A small simulator for one test."""
    with start("tiny", accounts=2) as running:
        yield running


@pytest.fixture
def reader(server: Server) -> Iterator[Reader]:
    with Reader(server.url, server.access_token()) as ready:
        yield ready
