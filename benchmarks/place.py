"""Where it runs: a directory of its own, real servers with the options of production, a simulator as its own process."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from cryptography.fernet import Fernet
from sqlalchemy import text
from sqlalchemy.engine import make_url

from benchmarks.tracing import TRACE
from spotisync.cli import programs
from spotisync.settings import Settings, impose
from spotisync.simulator import Control
from spotisync.stack.process import Child, Process, stop_all
from spotisync.stack.servers import start_servers
from spotisync.store import migrate
from spotisync.sync import Sync, enrol

TEMPLATE = "fresh"


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

    def administer(self, statement: str) -> list[tuple[Any, ...]]:
        address = make_url(self.url("postgres"))
        host = str(address.query["host"])
        with psycopg.connect(host=host, user=address.username, dbname="postgres", autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    @contextmanager
    def simulator(self, *options: str) -> Iterator[Control]:
        """One in a process of its own, ready when it is handed out."""
        argv = (sys.executable, "-m", "spotisync.simulator", *options)
        process = Process(Child(name="simulator", argv=argv), self.settings.data_dir)
        with running(process):
            yield Control(until(lambda: _address(process), "the simulator", 120))

    @contextmanager
    def worker(self) -> Iterator[Process]:
        """The worker that `spotisync up` starts, ready when it is handed out."""
        process = programs.worker(self.settings)
        with running(process):
            until(lambda: " ready." in process.tail(), "the worker", 60)
            yield process


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
            _trace(here.url(TEMPLATE))
            yield here
    finally:
        shutil.rmtree(chosen.socket_dir, ignore_errors=True)
        shutil.rmtree(data_dir, ignore_errors=True)


def _settings(data_dir: Path) -> Settings:
    """Defaults, whatever the environment or `.env` say, for this process and all that it starts."""
    fields = Settings.model_fields.items()
    variables = [str(field.validation_alias or f"SPOTISYNC_{name.upper()}") for name, field in fields]
    return impose(
        {
            **dict.fromkeys(variables, ""),
            "SPOTISYNC_DATA_DIR": str(data_dir),
            "SPOTISYNC_SECRET_KEY": Fernet.generate_key().decode(),
            "SPOTIPY_CLIENT_ID": "benchmark",
        }
    )


def against(url: str) -> Settings:
    """The same, with the simulator at this address for Spotify."""
    return impose({"SPOTISYNC_SPOTIFY_API_URL": f"{url}/v1", "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": url})


def _trace(url: str) -> None:
    with opened(url) as connection:
        connection.execute(TRACE.encode())


def opened(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)


def _address(process: Process) -> str | None:
    if not process.running:
        raise RuntimeError(f"the simulator ended{process.last_words()}")
    lines = process.tail().splitlines()
    return str(json.loads(lines[0])["url"]) if lines else None


@contextmanager
def running(process: Process) -> Iterator[None]:
    process.start()
    try:
        yield
    finally:
        stop_all([process])


def until(condition: Callable[[], Any], what: str, seconds: float) -> Any:
    """Wait for a condition, with a deadline. Returns what it came to."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.005)
    raise TimeoutError(f"not within {seconds:g} s: {what}")


def enrolled(sync: Sync, control: Control) -> str:
    """The simulator's first account, added. Returns its name."""
    return enrol.add(sync, control.info()["accounts"][0]["refresh_token"], None).spotify_user_id
