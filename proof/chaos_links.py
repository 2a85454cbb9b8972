"""Connections that can be cut, stalled, delayed and half-closed: TCP proxies in a thread of this process."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Target = Path | tuple[str, int]
Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CHUNK = 65_536


class Link:
    """The connections of one client to one server: a Unix socket, or a host and a port."""

    def __init__(self, target: Target) -> None:
        self.port = 0
        self._target = target
        self._is_cut = False
        self._delay = 0.0
        self._flowing = asyncio.Event()
        self._connections: dict[asyncio.StreamWriter, tuple[asyncio.StreamWriter, asyncio.Task[None]]] = {}
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server:
            self._server.close()
        self._abort_all()

    async def cut(self) -> None:
        """Reset all connections, and each new one."""
        self._is_cut = True
        self._abort_all()

    async def stall(self) -> None:
        """Forward nothing. What is sent meanwhile arrives later."""
        self._flowing.clear()

    async def slow_down(self, seconds: float) -> None:
        self._delay = seconds

    async def half_close(self) -> None:
        """The clients see the end of what the server sends; the server still receives what they send."""
        for client, (_, answers) in tuple(self._connections.items()):
            answers.cancel()
            with suppress(OSError, RuntimeError):
                client.write_eof()

    async def restore(self) -> None:
        self._is_cut, self._delay = False, 0.0
        self._flowing.set()

    def _abort_all(self) -> None:
        for client, (server, _) in tuple(self._connections.items()):
            _reset(client)
            _reset(server)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            if self._is_cut:
                return
            replies, server = await self._open()
        except OSError:
            return
        else:
            answers = asyncio.ensure_future(self._forward(replies, client))
            self._connections[client] = server, answers
            try:
                await asyncio.gather(self._forward(reader, server), answers, return_exceptions=True)
            finally:
                self._connections.pop(client, None)
                _reset(server)
        finally:
            _reset(client)

    async def _open(self) -> Opened:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(str(self._target))
        return await asyncio.open_connection(*self._target)

    async def _forward(self, source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
        try:
            while received := await source.read(CHUNK):
                await self._flowing.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                drain.write(received)
                await drain.drain()
            await self._flowing.wait()
            drain.write_eof()
        except OSError:  # a reset is passed on: the other side would wait forever
            _reset(drain)


async def _end_tasks() -> None:
    ending = asyncio.all_tasks() - {asyncio.current_task()}
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _reset(connection: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN, if it is one of TCP."""
    with suppress(OSError):
        connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


class Network:
    """All links, in one event loop."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        self._links = {name: Link(target) for name, target in targets.items()}
        for link in self._links.values():
            self._run(link.listen())

    def port(self, name: str) -> int:
        return self._links[name].port

    def do(self, name: str, what: Callable[[Link], Coroutine[Any, Any, None]]) -> None:
        self._run(what(self._links[name]))

    def restore(self) -> None:
        for link in self._links.values():
            self._run(link.restore())

    def close(self) -> None:
        for link in self._links.values():
            self._run(link.close())
        self._run(_end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


@contextmanager
def network(targets: Mapping[str, Target]) -> Iterator[Network]:
    made = Network(targets)
    try:
        yield made
    finally:
        made.close()
