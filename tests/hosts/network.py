"""Several hosts on one machine: network namespaces on one bridge.

The namespaces have no names and end with the process that made them. Nothing of the machine's own network is changed.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final

CLONE_NEWNET: Final = 0x40000000
NO_ONE: Final = "02:00:00:00:00:00"
"""The MAC address of no host. What is sent to it is lost without any reply, as on a network that is cut."""
_libc = ctypes.CDLL(None, use_errno=True)


def find_obstacle() -> str | None:
    """Why this process can't make network namespaces, or None."""
    try:
        network = Network()
        network.add("probe")
        network.close()
    except FileNotFoundError as error:
        return f"iproute2 is not installed: {error}"
    except OSError as error:
        return f"network namespaces need root: {error.strerror}"
    except subprocess.CalledProcessError as error:
        return f"this kernel has no bridge or no veth: {error.stderr.decode().strip()}"
    return None


def _call(name: str, *args: int) -> None:
    if getattr(_libc, name)(*args):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def _own_namespace() -> Iterator[int]:
    """The network namespace of this thread, which is restored in the end."""
    own = _open_namespace()
    try:
        yield own
    finally:
        os.close(own)


def _open_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _make_namespace(own: int) -> int:
    _call("unshare", CLONE_NEWNET)
    try:
        return _open_namespace()
    finally:
        _call("setns", own, CLONE_NEWNET)


@dataclass(frozen=True)
class Namespace:
    """`fd` keeps it while no process is in it."""

    fd: int

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets and processes that this thread makes here belong to this host."""
        with _own_namespace() as own:
            _call("setns", self.fd, CLONE_NEWNET)
            try:
                yield
            finally:
                _call("setns", own, CLONE_NEWNET)

    def ip(self, *args: str) -> None:
        with self.inside():
            subprocess.run(["ip", *args], check=True, capture_output=True)


@dataclass(frozen=True)
class Host(Namespace):
    name: str
    address: str


class Network:
    """A bridge, and the hosts that are plugged into it."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self._switch.ip("link", "add", "bridge", "type", "bridge")
        self._switch.ip("link", "set", "bridge", "up")

    @cached_property
    def _switch(self) -> Namespace:
        with _own_namespace() as own:
            return Namespace(_make_namespace(own))

    def add(self, name: str) -> Host:
        with _own_namespace() as own:
            host = Host(_make_namespace(own), name, f"10.77.0.{len(self.hosts) + 1}")
        self.hosts.append(host)
        peer = f"/proc/{os.getpid()}/fd/{host.fd}"
        self._switch.ip("link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", peer)
        self._switch.ip("link", "set", "dev", name, "master", "bridge", "up")
        host.ip("link", "set", "lo", "up")
        host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        return host

    def cut(self, one: Host, other: Host) -> None:
        """Lose all packets between two hosts, in both directions."""
        for host, peer in ((one, other), (other, one)):
            host.ip("neighbour", "replace", peer.address, "lladdr", NO_ONE, "nud", "permanent", "dev", "eth0")

    def join(self, one: Host, other: Host) -> None:
        for host, peer in ((one, other), (other, one)):
            host.ip("neighbour", "delete", peer.address, "dev", "eth0")

    def unplug(self, host: Host) -> None:
        """As if the host had lost its power: it closes no connection."""
        self._switch.ip("link", "set", "dev", host.name, "down")

    def close(self) -> None:
        for namespace in (*self.hosts, self._switch):
            with suppress(OSError):
                os.close(namespace.fd)
