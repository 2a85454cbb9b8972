"""Where it runs: a directory of its own, real servers with the options of production, a simulator apart."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from cryptography.fernet import Fernet
from sqlalchemy.engine import make_url

from benchmarks.drive import until
from benchmarks.tracing import TRACE
from spotisync.settings import Settings, override
from spotisync.simulator import Control
from spotisync.stack.process import ChildSpec, Process, stop_all
from spotisync.stack.servers import start_servers
from spotisync.store import migrate

TEMPLATE = "fresh"
# As `spotisync up` starts it; the app has one more task, for comparison.
WORKER = ("-m", "celery", "-A", "benchmarks.hops", "worker", "-c", "2", "--without-mingle", "--without-gossip")


@dataclass(frozen=True)
class Place:
    """A data dir, a Postgres with a template database in it, and what is started there."""

    settings: Settings

    def fresh(self, database: str = "spotisync") -> str:
        """An empty database of this name, instead of the one that was there. Returns its URL."""
        self.administer(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.administer(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
        return self.url(database)

    def url(self, database: str) -> str:
        return make_url(self.settings.database).set(database=database).render_as_string(hide_password=False)

    def administer(self, statement: str) -> None:
        with connected(self.url("postgres")) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def simulator(self, *options: str) -> Iterator[Control]:
        """One in a process of its own, for Spotify to this process and all that it starts from now on."""
        argv = (sys.executable, "-m", "spotisync.simulator", *options)
        process = Process(ChildSpec(name="simulator", argv=argv), self.settings.data_dir)
        with _running(process):
            url = until(lambda: _address(process), "the simulator", 120)
            override({"SPOTISYNC_SPOTIFY_API_URL": f"{url}/v1", "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": url})
            yield Control(url)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker with two children, ready when the block begins."""
        process = Process(ChildSpec(name="worker", argv=(sys.executable, *WORKER)), self.settings.data_dir)
        with _running(process):
            until(lambda: " ready." in process.tail(), "the worker", 60)
            yield


@contextmanager
def place(parent: Path) -> Iterator[Place]:
    """Everything in it, and the directory itself, is gone when the block ends, however it ends."""
    data_dir = Path(tempfile.mkdtemp(prefix="spotisync-bench-", dir=parent))
    data_dir.chmod(0o755)  # for the user that Postgres runs as when we are root
    chosen = _settings(data_dir)
    try:
        with start_servers(chosen.data_dir, chosen.socket_dir):
            here = Place(chosen)
            here.administer(f"CREATE DATABASE {TEMPLATE}")
            migrate.upgrade(here.url(TEMPLATE))
            with connected(here.url(TEMPLATE)) as connection:
                connection.execute(TRACE)
            yield here
    finally:
        shutil.rmtree(chosen.socket_dir, ignore_errors=True)
        shutil.rmtree(data_dir, ignore_errors=True)


def _settings(data_dir: Path) -> Settings:
    """Defaults, whatever the environment or `.env` say, for this process and all that it starts."""
    fields = Settings.model_fields.items()
    variables = [str(field.validation_alias or f"SPOTISYNC_{name.upper()}") for name, field in fields]
    return override(
        {
            **dict.fromkeys(variables, ""),
            "SPOTISYNC_DATA_DIR": str(data_dir),
            "SPOTISYNC_SECRET_KEY": Fernet.generate_key().decode(),
            "SPOTISYNC_LOG_FORMAT": "text",
            "SPOTISYNC_API_RATE": "0",  # the simulator sets no ceiling, so there is no pace to keep
            "SPOTIPY_CLIENT_ID": "benchmark",
        }
    )


def connected(url: str) -> psycopg.Connection[Any]:
    """A session beside the pool. It ends with its `with` block."""
    return psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)


@contextmanager
def _running(process: Process) -> Iterator[None]:
    try:
        process.start()
        yield
    finally:
        stop_all([process])


def _address(process: Process) -> str | None:
    """The simulator tells it in its first line."""
    if not process.running:
        raise RuntimeError(f"the simulator ended{process.quote_log()}")
    lines = process.tail().splitlines()
    return str(json.loads(lines[0])["url"]) if lines else None
