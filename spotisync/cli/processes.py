"""The processes that `up` and `demo` start."""

import http.client
import logging
import socket
import sys
import time
from contextlib import closing
from signal import SIGKILL
from typing import Final
from urllib.parse import urlsplit

from spotisync.cli.context import open_database
from spotisync.errors import Fatal
from spotisync.settings import Settings, override
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import ChildSpec, Process
from spotisync.stack.supervisor import Callbacks
from spotisync.stack.valkey import Valkey
from spotisync.store import migrate
from spotisync.sync.processes import record_start, record_stop

log = logging.getLogger(__name__)
CELERY: Final = (sys.executable, "-m", "celery", "-A", "spotisync")
PORT_TIMEOUT: Final = 2.0
"""Seconds to wait for a port that is in use: a killed stack releases its port a moment later."""


def server_processes(settings: Settings) -> list[Process]:
    """The embedded servers, for which no URL is set. Valkey comes first: PostgreSQL may have to create a database."""
    servers: list[Process] = []
    if settings.embedded_broker:
        servers.append(Valkey(settings.data_dir, settings.socket_dir))
    if settings.embedded_postgres:
        servers.append(Postgres(settings.data_dir, settings.socket_dir))
    return servers


def database_step(settings: Settings) -> Callbacks:
    """Migrate at the start; record start and stop in the timeline of unfinished runs."""

    def start() -> None:
        migrate.upgrade(settings.migration_database)
        with open_database(settings) as database:
            record_start(database)

    def stop() -> None:
        with open_database(settings) as database:
            record_stop(database)

    return Callbacks(start, stop)


def worker_process(settings: Settings) -> Process:
    # The batches of an account run one at a time; the second process is for short tasks, the third for housekeeping,
    # which runs in one process at a time. There is no other worker.
    options = ("--concurrency=3", "--without-mingle", "--without-gossip", "-n", "spotisync@%h")
    return _celery(settings, "worker", *options)


def beat_process(settings: Settings) -> Process:
    return _celery(settings, "beat")


def web_process(settings: Settings) -> Process:
    """The web page. Its port must have been chosen, by `choose_port`."""
    url = page_url(settings)
    child = ChildSpec(
        name="web",
        argv=[sys.executable, "-m", "spotisync", "web"],
        env={"SPOTISYNC_LOG_FORMAT": settings.log_format or "text"},
        ready=lambda: _answers(url),
    )
    return Process(child, settings.data_dir.absolute())


def page_url(settings: Settings) -> str:
    """URL of the web page."""
    from spotisync.web.server import format_url

    return format_url(settings.host, settings.port) + settings.root_path


def choose_port(settings: Settings, *, allow_other: bool = False) -> Settings:
    """Override SPOTISYNC_PORT with a free port: the configured one, or with `allow_other` any. Raises `Fatal`."""
    from spotisync.web.server import listen

    deadline = time.monotonic() + PORT_TIMEOUT
    while True:
        try:
            with listen(settings.host, settings.port) as listener:
                return override({"SPOTISYNC_PORT": str(listener.getsockname()[1])})
        except Fatal:
            if allow_other:
                return choose_port(override({"SPOTISYNC_PORT": "0"}))
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
    """Flower on loopback, unless it is off or its port is in use. Nothing else depends on it."""
    if not settings.flower_port:
        return []
    if not _is_free(settings.flower_port):
        log.warning("Flower was not started: port %d (SPOTISYNC_FLOWER_PORT) is in use", settings.flower_port)
        return []
    env = {"FLOWER_ADDRESS": "127.0.0.1", "FLOWER_PORT": str(settings.flower_port), "FLOWER_MAX_TASKS": "10000"}
    if settings.flower_auth:  # not an option: every user can read a command line
        env["FLOWER_BASIC_AUTH"] = settings.flower_auth
    # Flower has no work to finish, so it can be killed.
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
    # The output goes to a log file, so the default format is text.
    env = {"SPOTISYNC_LOG_FORMAT": settings.log_format or "text"}
    argv = [*CELERY, name, "-l", settings.log_level, *options]
    # A worker finishes or releases its batch before it stops. While it fails, the page can still tell that.
    child = ChildSpec(name=name, argv=argv, env=env, stop_grace=20, vital=False)
    return Process(child, settings.data_dir.absolute())
