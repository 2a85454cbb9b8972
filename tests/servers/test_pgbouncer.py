"""Syncs through pgbouncer in transaction mode: https://github.com/psycopg/psycopg/issues/280"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from spotisync.errors import Misconfigured
from spotisync.simulator import start
from spotisync.store import migrate
from spotisync.store.database import Database, execute
from spotisync.store.visibility import read_version
from spotisync.sync import Context, accounts
from tests.integration.store.test_migrate import query
from tests.servers.scenario import Scenario
from tests.support.driver import Account, full_sync, incremental_sync
from tests.support.ports import free_port
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
pytestmark = [pytest.mark.servers, pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")]
CONFIG = """[databases]
* = host={sockets} port=5432
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
"""


@pytest.fixture
def pooled_url(empty_database_url: str, directory: Path) -> Iterator[str]:
    direct, port = make_url(empty_database_url), free_port()
    sockets = Path(str(direct.query["host"]))
    config = directory / f"pgbouncer-{port}.ini"
    config.write_text(CONFIG.format(sockets=sockets, port=port).replace("* =", f"* = user={direct.username}"))
    config.chmod(0o644)
    # pgbouncer refuses to run as root, and only the server's user may enter the directory of its socket.
    process = subprocess.Popen([str(PROGRAM), "-q", str(config)], user=sockets.stat().st_uid, cwd="/")
    url = f"postgresql://{direct.username}@127.0.0.1:{port}/{direct.database}"
    try:
        wait_until(lambda: _answers(url), "pgbouncer does not answer", 10)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2, prepare_threshold=None).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("parameters", ["", "?pgbouncer=true"], ids=["detected", "by the URL"])
def test_syncs_end_with_the_truth(
    make_context: Callable[..., Context], empty_database_url: str, pooled_url: str, parameters: str
) -> None:
    query(empty_database_url, f"ALTER DATABASE {make_url(empty_database_url).database} SET datestyle = 'SQL, DMY'")
    migrate.upgrade(empty_database_url)
    with start(3000, seed=7) as simulator:
        context = make_context(simulator, database_url=pooled_url + parameters)
        account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
        for sync in (full_sync, incremental_sync):
            assert sync(context, account)["status"] == "success"
            assert_tables_equal_truth(context, account, simulator.world.truth(account.name))
    assert context.database.get_claimant().pid is None


def test_processes_end_with_the_truth(
    scenario: Callable[..., Scenario], results_url: str, empty_database_url: str, pooled_url: str
) -> None:
    migrate.upgrade(empty_database_url)
    scenario(results_url, database_url=pooled_url).run()


def test_migrations_refuse_the_pooler(empty_database_url: str, pooled_url: str) -> None:
    with pytest.raises(Misconfigured, match="leads to a pooler; set SPOTISYNC_MIGRATION_DATABASE_URL"):
        migrate.upgrade(pooled_url.replace("postgresql:", "postgresql+psycopg:"))
    assert migrate.get_revisions(empty_database_url)[0] is None


def test_commits_are_noticed(pooled_url: str) -> None:
    database = Database(pooled_url)
    try:
        with database.begin() as connection:
            before = read_version(connection)
        with database.begin() as connection:
            assert read_version(connection) == before
            execute(connection, "CREATE TEMP TABLE noticed () ON COMMIT DROP")
        with database.begin() as connection:
            assert read_version(connection) != before
    finally:
        database.close()
