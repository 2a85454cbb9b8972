"""The environment of the benchmarks: a temporary data dir, real servers with production options, a simulator."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from cryptography.fernet import Fernet
from sqlalchemy.engine import make_url

from benchmarks.tracing import TRACE
from spotisync.core.states import OVER
from spotisync.settings import Settings, override, settings
from spotisync.simulator import Control
from spotisync.stack.process import ChildSpec, Process, stop_all
from spotisync.store import migrate
from spotisync.store.database import PING_AFTER_SECONDS
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs
from tests.support.servers import start_servers

TEMPLATE = "template_spotisync"
# As `spotisync up` starts it, but with one more task for comparison.
WORKER = ("worker", "-c", "2", "--without-mingle", "--without-gossip")
TIMED_APP = "benchmarks.hops"
NODE = "worker{number}@benchmark"


@dataclass(frozen=True)
class Environment:
    """A running PostgreSQL with a migrated template database, and a broker."""

    settings: Settings

    def create_database(self, name: str = "spotisync", template: str = TEMPLATE) -> str:
        """Create an empty database, replacing one of the same name. Returns its URL."""
        wait_until(lambda: self._drop(name), f"the end of autovacuum in {name}", 60, interval=0.1)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        wait_for_idle_connections()
        return self.url(name)

    def _drop(self, name: str) -> bool:
        """Drop the database. False while autovacuum works in it, which only a superuser may end."""
        try:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True

    def url(self, database: str) -> str:
        return make_url(self.settings.database).set(database=database).render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        with connect(self.url("postgres")) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def simulator(self, *options: str) -> Iterator[Control]:
        """Run a simulator process, used as Spotify by this process and its children from now on."""
        argv = (sys.executable, "-m", "spotisync.simulator", *options)
        process = Process(ChildSpec(name="simulator", argv=argv), self.settings.data_dir)
        with _running(process):
            url = wait_until(lambda: _simulator_url(process), "the simulator", 120)
            override({"SPOTISYNC_SPOTIFY_API_URL": f"{url}/v1", "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": url})
            yield Control(url)

    @contextmanager
    def worker(self, number: int = 1, app: str = TIMED_APP) -> Iterator[None]:
        """Run a worker with two child processes; its node is called `NODE`, with this number."""
        argv = (*_celery(app), *WORKER, "-n", NODE.format(number=number))
        process = Process(ChildSpec(name=f"worker{number}", argv=argv), self.settings.data_dir)
        with _running(process):
            wait_until(lambda: " ready." in process.tail(), "the worker", 60)
            yield

    @contextmanager
    def workers(self, count: int, app: str = TIMED_APP) -> Iterator[None]:
        with ExitStack() as stack:
            for number in range(count):
                stack.enter_context(self.worker(number + 1, app))
            yield

    @contextmanager
    def beat(self) -> Iterator[None]:
        with _running(Process(ChildSpec(name="beat", argv=(*_celery("spotisync"), "beat")), self.settings.data_dir)):
            yield


@contextmanager
def create_environment(parent: Path) -> Iterator[Environment]:
    """Start the servers in a temporary directory; stop them and remove the directory at the end of the block."""
    data_dir = Path(tempfile.mkdtemp(prefix="spotisync-bench-", dir=parent))
    data_dir.chmod(0o755)  # Postgres runs as another user if this process runs as root
    chosen = _override_settings(data_dir)
    try:
        with start_servers(chosen.data_dir, chosen.socket_dir):
            environment = Environment(chosen)
            environment.execute(f"CREATE DATABASE {TEMPLATE}")
            migrate.upgrade(environment.url(TEMPLATE))
            with connect(environment.url(TEMPLATE)) as connection:
                connection.execute(TRACE)
            yield environment
    finally:
        shutil.rmtree(chosen.socket_dir, ignore_errors=True)
        shutil.rmtree(data_dir, ignore_errors=True)


def _override_settings(data_dir: Path) -> Settings:
    """Use the defaults, regardless of the environment and `.env`, in this process and its children."""
    fields = Settings.model_fields.items()
    variables = [str(field.validation_alias or f"SPOTISYNC_{name.upper()}") for name, field in fields]
    return override(
        {
            **dict.fromkeys(variables, ""),
            "SPOTISYNC_DATA_DIR": str(data_dir),
            "SPOTISYNC_SECRET_KEY": Fernet.generate_key().decode(),
            "SPOTISYNC_LOG_FORMAT": "text",
            "SPOTISYNC_API_RATE": "0",  # the simulator has no rate limit, so the sync needs none
            "SPOTIPY_CLIENT_ID": "benchmark",
        }
    )


def connect(url: str) -> psycopg.Connection[Any]:
    """Open a connection outside the pool, for a `with` block."""
    return psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)


def _celery(app: str) -> tuple[str, ...]:
    return sys.executable, "-m", "celery", "-A", app


@contextmanager
def _running(process: Process) -> Iterator[None]:
    try:
        process.start()
        yield
    finally:
        stop_all([process])


def _simulator_url(process: Process) -> str | None:
    """Read the URL from the first line of the simulator's output."""
    if not process.running:
        raise RuntimeError(f"the simulator ended{process.quote_log()}")
    with process.log.open() as log:
        line = log.readline()  # it names all accounts, so it can be long
    return str(json.loads(line)["url"]) if line.endswith("\n") else None


@contextmanager
def open_context(control: Control) -> Iterator[tuple[Context, str]]:
    """Open a context on the database of the settings, and add the simulator's first account to it."""
    context = Context.from_settings(settings())
    try:
        yield context, accounts.add(context, control.info()["accounts"][0]["refresh_token"], None).spotify_user_id
    finally:
        context.close()


def start_sync(context: Context, account: str) -> Run:
    from spotisync import canvas  # it loads Celery's configuration, which needs the settings of the environment

    run = runs.trigger(context, account, "full", "cli").run
    canvas.publish(run)
    return run


def wait_for_success(context: Context, run: Run) -> None:
    """Wait for the end of the run. Raises RuntimeError if it did not succeed."""
    ended = wait_until(lambda: _find_ended(context, run), f"the end of run {run.id}", 7200, interval=0.1)
    if ended.status != "success":
        raise RuntimeError(f"run {run.id} {ended.status}: {ended.last_error}")


def _find_ended(context: Context, run: Run) -> Run | None:
    found = runs.get_run(context, run.id)
    return found if found and found.status in OVER else None


def count_calls(control: Control) -> int:
    """Count the calls of the Web API since the last `reset_log`."""
    families = control.counters()["families"]
    return sum(count for family, count in families.items() if family != "accounts")


def wait_for_idle_connections() -> None:
    """After sessions were ended: wait until the workers check their connections before the next use."""
    time.sleep(PING_AFTER_SECONDS + 0.1)


def wait_until(condition: Callable[[], Any], what: str, seconds: float, interval: float = 0.01) -> Any:
    """Wait until the condition returns a true value, and return it. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(interval)
    raise TimeoutError(f"not within {seconds:g} s: {what}")
