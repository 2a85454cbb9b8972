"""Ports for servers that can't be started on port 0."""

import random
import socket
from collections.abc import Iterator

# Tests of several processes must not choose the same ports, though pytest-randomly seeds `random` alike in all of them.
_random = random.SystemRandom()


def free_port() -> int:
    """A free port, outside the range from which the kernel takes the ports of outgoing connections and of port 0."""
    return next(free_ports())


def free_ports() -> Iterator[int]:
    return filter(_is_free, _random.sample(range(20_000, 32_000), 1_000))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
