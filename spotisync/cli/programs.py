"""The processes of `up` and `demo`, beside the embedded servers."""

import sys
from typing import Final

from spotisync.settings import Settings
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import Child, Process
from spotisync.stack.valkey import Valkey

CELERY: Final = (sys.executable, "-m", "celery", "-A", "spotisync")
PROCESSES: Final = "2"
"""Of the worker. The batches of one account come one after the other; the second one is for what is short."""


def servers(settings: Settings) -> list[Process]:
    """The embedded ones, where no URL names another. Valkey first: PostgreSQL may have a database to make."""
    found: list[Process] = []
    if any(str(settings.socket_dir) in url for url in (settings.broker, settings.backend)):
        found.append(Valkey(settings.data_dir, settings.socket_dir))
    if settings.embedded_postgres:
        found.append(Postgres(settings.data_dir, settings.socket_dir))
    return found


def worker(settings: Settings) -> Process:
    # Alone on its broker, it has no other workers to greet or to gossip with.
    options = ("-c", PROCESSES, "-l", settings.log_level, "-n", "spotisync@%h", "--without-mingle", "--without-gossip")
    return _celery(settings, "worker", *options)


def beat(settings: Settings) -> Process:
    return _celery(settings, "beat", "-l", settings.log_level)


def _celery(settings: Settings, name: str, *options: str) -> Process:
    # Its output goes to a file, which a person reads: text, if nobody said otherwise.
    text = {"SPOTISYNC_LOG_FORMAT": settings.log_format or "text"}
    # A worker that is asked to stop ends its batch first.
    child = Child(name=name, argv=[*CELERY, name, *options], env=text, stop_grace=20)
    return Process(child, settings.data_dir.absolute())
