"""What the faults happen to: servers, workers, a beat, a simulated Spotify, and the service that triggers syncs."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import psycopg
import redis
from celery import Celery, chain
from cryptography.fernet import Fernet
from psycopg.rows import namedtuple_row
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.engine import make_url

from proof.chaos_links import Link, Network, network
from proof.chaos_schedule import LEASE_SECONDS, LINKS, WORKERS, Call, Schedule
from spotisync.settings import Settings
from spotisync.simulator import Server, start
from spotisync.stack.postgres import PORT, Postgres
from spotisync.stack.valkey import Valkey
from spotisync.store import migrate
from spotisync.sync import Context, accounts
from tests.support.driver import Account
from tests.support.servers import start_servers
from tests.support.waiting import wait_until
from tests.system.programs import Program, environment

TEMPLATE = "template_chaos"
CHILDREN = 2
# The machine survives, so nothing has to reach the disk; but each commit must reach the kernel.
OPTIONS = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
STARTED_WITHIN = 120
# What the tables don't keep: each cooldown with the time of its statement, calls of attempts that stored nothing, and
# each answer.
RECORDERS = """
CREATE TABLE chaos_blocks (at timestamptz DEFAULT clock_timestamp(), family text, until timestamptz);
CREATE TABLE chaos_waste (sync_id bigint, calls integer);
CREATE TABLE chaos_answers (task_id text, ended text);
CREATE FUNCTION chaos_block() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN INSERT INTO chaos_blocks (family) VALUES (OLD.family);
    ELSE INSERT INTO chaos_blocks (family, until) VALUES (NEW.family, NEW.blocked_until); END IF;
    RETURN NULL; END $$;
CREATE FUNCTION chaos_waste() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO chaos_waste VALUES (NEW.sync_id,
        COALESCE(NEW.calls, 0) - CASE WHEN TG_OP = 'UPDATE' THEN COALESCE(OLD.calls, 0) ELSE 0 END);
    RETURN NULL; END $$;
CREATE FUNCTION chaos_answer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO chaos_answers VALUES (NEW.task_id, NEW.ended); RETURN NULL; END $$;
CREATE TRIGGER chaos AFTER INSERT OR UPDATE OR DELETE ON rate_limits FOR EACH ROW EXECUTE FUNCTION chaos_block();
CREATE TRIGGER chaos_added AFTER UPDATE OF calls ON run_events FOR EACH ROW EXECUTE FUNCTION chaos_waste();
CREATE TRIGGER chaos_new AFTER INSERT ON run_events FOR EACH ROW WHEN (NEW.kind <> 'batch' AND NEW.calls > 0)
    EXECUTE FUNCTION chaos_waste();
CREATE TRIGGER chaos AFTER UPDATE OF answered_at ON waiters FOR EACH ROW
    WHEN (OLD.answered_at IS NOT NULL OR NEW.answered_at IS NOT NULL) EXECUTE FUNCTION chaos_answer();
"""
# Ends when the other end of its standard input is closed, that is, when this process ends, however it ends.
REMOVE = """import shutil, sys, time, os
sys.stdin.read()
for _ in range(200):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]): break
    time.sleep(0.2)"""


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory that is removed even if this process is killed."""
    path = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    path.chmod(0o711)  # Postgres runs as another user if this process runs as root
    remover = subprocess.Popen(
        [sys.executable, "-c", REMOVE, str(path)], stdin=subprocess.PIPE, start_new_session=True, close_fds=True
    )
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        remover.communicate()


@dataclass
class Site:
    """The servers, which serve one run after the other: a new database each, and an emptied broker."""

    directory: Path
    postgres: Postgres
    valkey: Valkey
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, database: str) -> str:
        return make_url(self.postgres.url).set(database=database).render_as_string(hide_password=False)

    def administer(self, statement: str) -> None:
        with connect(self.postgres.url) as connection:
            connection.execute(statement.encode())

    def redis(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.valkey.socket), socket_timeout=3, retry=Retry(NoBackoff(), 0))

    def flush(self) -> None:
        with self.redis() as client:
            client.flushall()

    def restart(self) -> None:
        """Start what does not run."""
        self.valkey.start().wait_ready()
        self.postgres.start().wait_ready()

    def lose_broker_data(self) -> None:
        for pattern in ("*.aof", "*.manifest", "*.rdb"):
            for file in (self.directory / "data").rglob(pattern):
                file.unlink()


@contextmanager
def site() -> Iterator[Site]:
    with (
        temporary_directory() as directory,
        start_servers(directory / "data", directory / "run", OPTIONS) as (postgres, valkey),
    ):
        made = Site(directory, postgres, valkey)
        made.administer(f"CREATE DATABASE {TEMPLATE}")
        migrate.upgrade(made.url(TEMPLATE))
        with connect(made.url(TEMPLATE)) as connection:
            connection.execute(RECORDERS)
        yield made


def connect(url: str) -> "psycopg.Connection[Any]":
    parts = make_url(url)
    return psycopg.connect(
        host=str(parts.query["host"]),
        port=PORT,
        user=parts.username,
        dbname=parts.database,
        autocommit=True,
        connect_timeout=3,
        row_factory=namedtuple_row,
    )


def _is_ready(program: Program) -> bool:
    return " ready." in program.log.read_text()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@dataclass(frozen=True)
class Caller:
    """A trigger that another service sent, and the task id under which its follow-up must run."""

    tag: str
    task_id: str
    follow_up: str


@dataclass
class Stage:
    site: Site
    schedule: Schedule
    directory: Path
    database_url: str
    simulator: Server
    network: Network
    settings: Settings
    context: Context
    programs: dict[str, Program] = field(default_factory=dict)
    callers: list[Caller] = field(default_factory=list)
    jumps: list[tuple[float, float]] = field(default_factory=list)
    """By how many seconds the clock of Spotify jumped, and when by our clock."""
    starts: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @cached_property
    def accounts(self) -> list[Account]:
        """Add the accounts of the simulator."""
        return [self.log_in(name) for name in self.simulator.world.accounts]

    def log_in(self, name: str) -> Account:
        return Account(accounts.add(self.context, self.simulator.refresh_token(name), None).spotify_user_id)

    # ---- processes --------------------------------------------------------------------------------------------------

    def start(self, name: str) -> Program:
        """Start a worker, beat or the other service anew, without waiting until it is ready."""
        log = f"{name.replace(' ', '')}-{next(self.starts)}"
        if name == "other service":
            argv, env = ["tests.system.foreign_tasks", "worker", "-Q", "foreign", "-c", "1"], self._foreign()
        elif name == "beat":
            argv, env = ["spotisync", "beat", "--max-interval", "1"], self._addresses("beat")
        else:
            argv, env = ["spotisync", "worker", "-c", str(CHILDREN)], self._addresses(name)
        if "worker" in argv:
            argv += ["-n", f"{log}@chaos", "-l", "INFO", "--without-mingle", "--without-gossip"]
        argv = [sys.executable, "-m", "celery", "-A", *argv]
        env = {**environment(self.settings), "PYTHONFAULTHANDLER": "1", **env}
        program = Program(argv, env, self.directory / f"{log}.log")
        self.programs[name] = program
        return program

    def _foreign(self) -> dict[str, str]:
        return {"FOREIGN_BROKER": self.settings.broker, "FOREIGN_CALLS": str(self.calls_file)}

    def _addresses(self, name: str) -> dict[str, str]:
        broker = f"redis://127.0.0.1:{self.network.port(f'{name} - broker')}/0"
        env = {"SPOTISYNC_BROKER_URL": broker, "SPOTISYNC_RESULT_BACKEND": broker}
        if name == "beat":
            return env
        database = make_url(self.database_url).set(
            host="127.0.0.1", port=self.network.port(f"{name} - database"), query={"sslmode": "disable"}
        )
        spotify = f"http://127.0.0.1:{self.network.port(f'{name} - spotify')}"
        return {
            **env,
            "SPOTISYNC_DATABASE_URL": database.render_as_string(hide_password=False),
            "SPOTISYNC_SPOTIFY_API_URL": f"{spotify}/v1",
            "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": spotify,
        }

    def wait_ready(self) -> None:
        for name, program in self.programs.items():
            if name != "beat":
                wait_until(partial(_is_ready, program), f"{name} to be ready", STARTED_WITHIN)

    def restart_dead(self) -> None:
        for name, program in tuple(self.programs.items()):
            if program.process.poll() is not None:
                self.start(name)

    def pids(self, name: str) -> list[int]:
        """The process and its children."""
        program = self.programs[name]
        with suppress(OSError):
            return [program.process.pid, *program.children()]
        return []

    def signal(self, pids: Sequence[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def log_stacks(self) -> None:
        """Let the children of the workers write what each thread does to the worker's log, and end."""
        children = [pid for name in WORKERS for pid in self.pids(name)[1:]]
        self.signal(children, signal.SIGABRT)
        with suppress(AssertionError):
            wait_until(lambda: not any(map(is_alive, children)), "the end of the children", 5)

    # ---- messages and rows ------------------------------------------------------------------------------------------

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with connect(self.database_url) as connection:
            found = connection.execute(statement.encode(), values)
            return found.fetchall() if found.description else []

    def call(self, call: Call) -> None:
        """Raises an error of the broker if it is away."""
        tag = f"c{len(self.callers)}"
        name = self.accounts[call.account].name
        signature = self._app.signature
        sync = signature(f"spotisync.{call.sync_type}_sync", kwargs={"account": name}, queue="spotisync.sync")
        follow_up = signature("foreign.follow_up", kwargs={"tag": tag}, queue="foreign")
        result: Any = chain(sync, follow_up, app=self._app).apply_async(retry=False)
        self.callers.append(Caller(tag, result.parent.id, result.id))

    @cached_property
    def _app(self) -> Celery:
        app = Celery("caller", broker=self.settings.broker)
        app.conf.broker_transport_options = {"socket_timeout": 3, "socket_connect_timeout": 3}
        return app

    @property
    def calls_file(self) -> Path:
        return self.directory / "calls"

    def follow_ups(self, tag: str) -> list[list[str]]:
        """The calls of a caller's follow-up: tag, status, items, task id."""
        words = (line.split() for line in self.calls_file.read_text().splitlines())
        return [each for each in words if each and each[0] == tag]

    def spotify_jumps(self, seconds: float) -> None:
        self.jumps.append((time.time(), seconds))
        self.simulator.world.clock_offset += seconds

    def requests(self) -> list[dict[str, Any]]:
        """All requests, with their times by our clock."""
        found = self.simulator.control.requests()
        for each in found:
            for at, seconds in self.jumps:
                if each["time"] - seconds >= at:
                    each["time"] -= seconds
        return found

    def close(self) -> None:
        for program in self.programs.values():
            program.end()
        if "_app" in vars(self):
            self._app.close()
        self.context.close()


@contextmanager
def stage(site: Site, schedule: Schedule) -> Iterator[Stage]:
    """A new deployment, whose workers are ready and whose accounts are logged in."""
    number = next(site.numbers)
    directory = site.directory / f"run{number}"
    directory.mkdir()
    (directory / "calls").touch()
    database = f"chaos_{number}"
    site.restart()
    site.flush()
    site.administer(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
    with ExitStack() as stack:
        stack.callback(_drop, site, database, directory)
        simulator = stack.enter_context(
            start(schedule.tracks, seed=schedule.seed, accounts=schedule.accounts, latency_ms=schedule.latency_ms)
        )
        made = stack.enter_context(network(_targets(site, simulator)))
        chosen = _settings(site, directory, site.url(database), simulator)
        context = Context.from_settings(chosen)
        prepared = Stage(site, schedule, directory, site.url(database), simulator, made, chosen, context)
        stack.callback(prepared.close)
        assert len(prepared.accounts) == schedule.accounts
        for name in ("other service", *WORKERS, "beat"):
            prepared.start(name)
        prepared.wait_ready()
        yield prepared


def _drop(site: Site, database: str, directory: Path) -> None:
    with suppress(psycopg.Error):
        site.administer(f"DROP DATABASE {database} WITH (FORCE)")
    shutil.rmtree(directory, ignore_errors=True)


def _targets(site: Site, simulator: Server) -> dict[str, Any]:
    host, _, port = simulator.url.removeprefix("http://").partition(":")
    servers: dict[str, Any] = {
        "broker": site.valkey.socket,
        "database": site.directory / "run" / f".s.PGSQL.{PORT}",
        "spotify": (host, int(port)),
    }
    return {link: servers[link.rpartition(" ")[2]] for link in LINKS}


def _settings(site: Site, directory: Path, database_url: str, simulator: Server) -> Settings:
    return Settings(
        _env_file=None,
        database_url=database_url,
        broker_url=site.valkey.url,
        data_dir=directory,
        client_id="simulated",
        secret_key=Fernet.generate_key().decode(),
        spotify_api_url=simulator.api_url,
        spotify_accounts_url=simulator.url,
        api_rate=0,
        api_timeout=5,
        tracks_batch_size=100,
        artists_batch_size=50,
        albums_batch_size=40,
        sweep_interval=1,
        lease_seconds=LEASE_SECONDS,
        max_countdown=5,
        timezone="UTC",
        full_sync_schedule="",
        incremental_interval=8,
        playback_interval=5,
    )


__all__ = ["Caller", "Link", "Site", "Stage", "connect", "site", "stage"]
