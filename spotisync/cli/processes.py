"""The processes of `up` and `demo`, beside the embedded servers."""

import http.client
import logging
import socket
import sys
import time
from contextlib import closing
from signal import SIGKILL
from typing import Final
from urllib.parse import urlsplit

from spotisync.errors import Fatal
from spotisync.settings import Settings, override
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import ChildSpec, Process
from spotisync.stack.valkey import Valkey

log = logging.getLogger(__name__)
CELERY: Final = (sys.executable, "-m", "celery", "-A", "spotisync")
PROCESSES: Final = "2"
"""Of the worker. The batches of one account come one after the other; the second one is for what is short."""


PATIENCE: Final = 2.0
"""In seconds, with a port that somebody has."""


def server_processes(settings: Settings) -> list[Process]:
    """The embedded ones, where no URL names another. Valkey first: PostgreSQL may have a database to make."""
    found: list[Process] = []
    if any(str(settings.socket_dir) in url for url in (settings.broker, settings.backend)):
        found.append(Valkey(settings.data_dir, settings.socket_dir))
    if settings.embedded_postgres:
        found.append(Postgres(settings.data_dir, settings.socket_dir))
    return found


def worker_process(settings: Settings) -> Process:
    # Alone on its broker, it has no other workers to greet or to gossip with.
    options = ("-c", PROCESSES, "-l", settings.log_level, "-n", "spotisync@%h", "--without-mingle", "--without-gossip")
    return _celery(settings, "worker", *options)


def beat_process(settings: Settings) -> Process:
    return _celery(settings, "beat", "-l", settings.log_level)


def web_process(settings: Settings) -> Process:
    """The page. Its port is in the settings by now, not to be chosen by it."""
    ready = page_url(settings)
    child = ChildSpec(
        name="web",
        argv=[sys.executable, "-m", "spotisync", "web"],
        env={"SPOTISYNC_LOG_FORMAT": settings.log_format or "text"},
        ready=lambda: _answers(ready),
    )
    return Process(child, settings.data_dir.absolute())


def page_url(settings: Settings) -> str:
    """Where a browser finds the page."""
    from spotisync.web.server import address

    return address(settings.host, settings.port)


def choose_port(settings: Settings, *, or_another: bool = False) -> Settings:
    """Settings with a port that is free just now: the wished one if that is, or any. Raises `Fatal` with the cure."""
    from spotisync.web.server import listen

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with listen(settings.host, settings.port) as found:
                return override({"SPOTISYNC_PORT": str(found.getsockname()[1])})
        except Fatal:
            if or_another:
                return choose_port(override({"SPOTISYNC_PORT": "0"}))
            # What a killed stack leaves behind is gone in a moment.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)) as connection:
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def flower_process(settings: Settings) -> list[Process]:
    """On this machine's loopback. Nothing waits for it or hangs on it; without its port there is none."""
    if not settings.flower_port:
        return []
    if not _is_free(settings.flower_port):
        log.warning("Flower is not started: port %d (SPOTISYNC_FLOWER_PORT) is taken", settings.flower_port)
        return []
    env = {"FLOWER_ADDRESS": "127.0.0.1", "FLOWER_PORT": str(settings.flower_port), "FLOWER_MAX_TASKS": "10000"}
    if settings.flower_auth:  # not on its command line, which every user of this machine can read
        env["FLOWER_BASIC_AUTH"] = settings.flower_auth
    # A viewer has nothing to finish.
    child = ChildSpec(name="flower", argv=[*CELERY, "flower"], env=env, stop_signals=(SIGKILL,), vital=False)
    return [Process(child, settings.data_dir.absolute())]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _celery(settings: Settings, name: str, *options: str) -> Process:
    # Its output goes to a file, which a person reads: text, if nobody said otherwise.
    text = {"SPOTISYNC_LOG_FORMAT": settings.log_format or "text"}
    # A worker that is asked to stop ends its batch first.
    child = ChildSpec(name=name, argv=[*CELERY, name, *options], env=text, stop_grace=20)
    return Process(child, settings.data_dir.absolute())
