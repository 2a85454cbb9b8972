"""The program: one process that listens, and ends within seconds, whoever still looks on."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import uvicorn

from spotisync.errors import Fatal
from spotisync.settings import Settings
from spotisync.web.app import create_app
from spotisync.web.live.events import get_broadcast

GRACE: Final = 5
"""Seconds that an answer may still take when we are asked to end."""


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Until a signal. Raises `Misconfigured` where it must not listen, `Fatal` if the port is taken."""
    app = create_app(settings)
    listening = listen(settings.host, settings.port)
    # The access log would hold what comes in queries, such as Spotify's code. Ours is at DEBUG, without them.
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
        lifespan="on",
    )
    server = Listening(config, get_broadcast(app).close)
    tell(address(settings.host, listening.getsockname()[1]))
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: None)  # uvicorn hands on what it has heeded
    # Windows' own kind of loop can't wait for what psycopg waits for.
    with listening, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(server.serve([listening]))


class Listening(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, before_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_end = before_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_end()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Raises `Fatal`, with the cure, if somebody else listens there."""
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family)
    except OSError as error:
        raise Fatal(
            f"nothing can listen on port {port} of {host} ({_why(error)}). If another program has it, end "
            f"that one, or choose another port: SPOTISYNC_PORT={port + 1 if port < 65535 else 8420}"
        ) from None


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def address(host: str, port: int) -> str:
    """For a browser on this machine."""
    try:
        parsed = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if parsed.is_unspecified:
        host = "127.0.0.1" if parsed.version == 4 else "::1"
    return f"http://[{host}]:{port}" if parsed.version == 6 else f"http://{host}:{port}"
