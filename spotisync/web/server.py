"""Run the application under uvicorn. It stops within seconds even if event streams are open."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import uvicorn
from fastapi import FastAPI

from spotisync.errors import Fatal, Misconfigured
from spotisync.settings import Settings
from spotisync.web.app import create_app
from spotisync.web.connections import BACKLOG, WebConnection
from spotisync.web.live.events import get_broadcast

SHUTDOWN_SECONDS: Final = 5
"""How long responses may take to finish after a stop signal."""


def serve(settings: Settings, report_url: Callable[[str], None]) -> None:
    """Serve until a signal arrives. Raises `Misconfigured` if a setting is missing, `Fatal` if the port is taken."""
    app = create_app(settings)
    listener = listen(settings.host, settings.port)
    server = WebServer(create_config(app), get_broadcast(app).close)
    report_url(format_url(settings.host, listener.getsockname()[1]) + settings.root_path)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: None)  # uvicorn raises the signal again after it has stopped
    # psycopg can't use the default event loop of Windows.
    with listener, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(server.serve([listener]))


def create_config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=WebConnection,
        backlog=BACKLOG,
        log_config=None,
        # It would contain query strings, such as the code of a Spotify login; the guard logs paths only.
        access_log=False,
        server_header=False,
        proxy_headers=False,  # read by our own middleware, which must see the proxy's address
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ws="none",
        lifespan="on",
    )


class WebServer(uvicorn.Server):
    """Closes the event streams before uvicorn waits for open responses."""

    def __init__(self, config: uvicorn.Config, before_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_shutdown = before_shutdown

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_shutdown()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Raises `Misconfigured` if the host is no address, `Fatal` if the address can't be used."""
    try:
        family, *_, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(bound[:2], family=family)
    except (ValueError, UnicodeError):
        raise Misconfigured(f"SPOTISYNC_HOST is {host!r}, which is no address; use one such as 127.0.0.1") from None
    except OSError as error:
        raise Fatal(
            f"can't listen on {host}, port {port}: {_get_reason(error)}. If another program uses the port, stop that "
            f"program or choose another port: SPOTISYNC_PORT={port + 1 if port < 65535 else 8420}"
        ) from None


def _get_reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def format_url(host: str, port: int) -> str:
    """Return the URL for a browser on this machine."""
    try:
        parsed = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if parsed.is_unspecified:
        host = "127.0.0.1" if parsed.version == 4 else "::1"
    return f"http://[{host}]:{port}" if parsed.version == 6 else f"http://{host}:{port}"
