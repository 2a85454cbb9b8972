"""Connections that are cut, stalled, delayed and half-closed."""

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from proof.chaos_links import Link, Network, network

RESET = struct.pack("ii", 1, 0)


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            while received := self.request.recv(100):
                if received == b"reset":
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    self.request.close()
                    return
                self.request.sendall(received)


@pytest.fixture
def links() -> Iterator[Network]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with network({"echo": ("127.0.0.1", server.server_address[1])}) as made:
            yield made
        server.shutdown()


def connect(links: Network) -> socket.socket:
    return socket.create_connection(("127.0.0.1", links.port("echo")), timeout=10)


def say(connection: socket.socket, word: bytes) -> bytes:
    connection.sendall(word)
    return connection.recv(100)


def test_a_link_forwards_both_ways(links: Network) -> None:
    with closing(connect(links)) as connection:
        assert say(connection, b"one") == b"one"
        assert say(connection, b"two") == b"two"


def test_a_cut_link_resets_old_and_new_connections(links: Network) -> None:
    with closing(connect(links)) as connection:
        assert say(connection, b"one") == b"one"
        links.do("echo", Link.cut)
        with suppress(ConnectionError):
            assert say(connection, b"two") == b""
    with suppress(ConnectionError), closing(connect(links)) as connection:
        assert say(connection, b"three") == b""
    links.restore()
    with closing(connect(links)) as connection:
        assert say(connection, b"four") == b"four"


def test_a_stalled_link_delivers_later(links: Network) -> None:
    with closing(connect(links)) as connection:
        assert say(connection, b"one") == b"one"
        links.do("echo", Link.stall)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            say(connection, b"two")
        links.restore()
        connection.settimeout(10)
        assert connection.recv(100) == b"two"


def test_a_slow_link_delays_what_it_forwards(links: Network) -> None:
    with closing(connect(links)) as connection:
        links.do("echo", lambda link: link.slow_down(0.1))
        since = time.monotonic()
        assert say(connection, b"one") == b"one"
        assert time.monotonic() - since >= 0.2


def test_a_half_closed_link_ends_only_the_replies(links: Network) -> None:
    with closing(connect(links)) as connection:
        assert say(connection, b"one") == b"one"
        links.do("echo", Link.half_close)
        assert connection.recv(100) == b""
        connection.sendall(b"still accepted")


def test_a_link_passes_the_reset_of_a_server_on(links: Network) -> None:
    with closing(connect(links)) as connection:
        assert say(connection, b"one") == b"one"
        with pytest.raises(ConnectionError):
            say(connection, b"reset")
