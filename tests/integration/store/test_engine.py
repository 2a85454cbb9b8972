"""What a role or a database has set does not change how connections behave."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from spotisync.cli import checks
from spotisync.errors import Misconfigured, Unavailable
from spotisync.settings import Settings
from spotisync.simulator import Server
from spotisync.store import migrate
from spotisync.store.database import Database, execute
from spotisync.store.engine import make_engine, split_pooler
from spotisync.sync import Context, accounts
from tests.integration.store.test_migrate import query
from tests.support.driver import Account, full_sync
from tests.support.parameters import mostly_slow
from tests.support.truth import assert_tables_equal_truth

# Statements that a person or a host may have run on the database: https://github.com/psycopg/psycopg/issues/571
SETTINGS = {
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "iso_8601",
    "client_encoding": "LATIN1",
    "timezone": "'Asia/Kathmandu'",
    "search_path": "''",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "transform_null_equals": "on",
    "statement_timeout": "200",
    "lock_timeout": "1",
    "default_transaction_isolation": "serializable",
}


def configure(url: str, statement: str) -> None:
    """Run it without the settings that may already make it fail."""
    name = split_pooler(url)[0].database
    query(url, f"ALTER DATABASE {name} {statement}")


def enrol_and_sync(context: Context, simulator: Server) -> None:
    account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
    assert full_sync(context, account)["status"] == "success"
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.fixture
def make_empty_context(
    make_settings: Callable[..., Settings], empty_database_url: str, simulator: Server
) -> Iterator[Callable[..., Context]]:
    made: list[Context] = []

    def make(**changes: object) -> Context:
        changes = {"database_url": empty_database_url, **changes}
        made.append(Context.from_settings(make_settings(simulator.url, **changes)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("names", mostly_slow([[*SETTINGS], *([name] for name in SETTINGS)]), ids="-".join)
def test_settings_of_the_database_do_not_matter(
    make_empty_context: Callable[..., Context], empty_database_url: str, simulator: Server, names: list[str]
) -> None:
    for name in names:
        configure(empty_database_url, f"SET {name} = {SETTINGS[name]}")
    migrate.upgrade(empty_database_url)
    context = make_empty_context()
    enrol_and_sync(context, simulator)
    server, is_current = checks.check_database_server(context.settings, context.database)
    assert is_current
    assert {each.state for each in server} == {"ok"}


def test_a_read_only_database_is_named_with_a_cure(
    make_empty_context: Callable[..., Context], empty_database_url: str
) -> None:
    """As some hosts make it when the disk is full."""
    migrate.upgrade(empty_database_url, "0001")
    configure(empty_database_url, "SET default_transaction_read_only = on")
    with pytest.raises(Misconfigured, match=r"is read-only; .*primary.*default_transaction_read_only"):
        migrate.upgrade(empty_database_url)
    context = make_empty_context()
    (finding,), _ = checks.check_database_server(context.settings, context.database)
    assert (finding.state, "is read-only" in finding.message) == ("failed", True)
    with pytest.raises(Unavailable, match="the database is read-only"), context.database.begin() as connection:
        execute(connection, "DELETE FROM accounts")


def test_tables_in_another_schema_of_the_search_path_are_still_found(empty_database_url: str) -> None:
    """Older versions created them in the first schema of the path."""
    migrate.upgrade(empty_database_url)
    query(empty_database_url, "ALTER SCHEMA public RENAME TO music")
    query(empty_database_url, "CREATE SCHEMA public")
    configure(empty_database_url, "SET search_path = music, public")
    assert migrate.get_revisions(empty_database_url)[0] == migrate.get_needed_revision()


def test_behind_a_pooler_each_transaction_has_the_settings(empty_database_url: str) -> None:
    engine = make_engine(f"{empty_database_url}&pgbouncer=true")
    with engine.connect() as connection:
        # Another client of the pooler may have left these in the session.
        connection.execute(text("SET search_path = ''"))
        connection.execute(text("SET datestyle = German"))
        connection.commit()
        found = connection.execute(text("SELECT current_setting('search_path'), current_setting('datestyle')")).one()
    engine.dispose()
    assert tuple(found) == ("public", "ISO, YMD")


def test_behind_a_pooler_a_claim_has_only_a_lease(database_url: str) -> None:
    database = Database(f"{database_url}&pgbouncer=true")
    assert database.get_claimant().pid is None
    with database.begin() as connection:
        assert execute(connection, "SELECT 1").scalar_one() == 1
    database.close()


def interrupt(database: Database) -> None:
    with database.begin() as connection:
        driver: Any = connection.connection.driver_connection
        driver.pgconn.send_query(b"SELECT pg_sleep(1)")
        raise KeyboardInterrupt


def test_an_interrupt_within_a_statement_is_not_an_outage(database: Database) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(database)
    with database.begin() as connection:
        assert execute(connection, "SELECT 1").scalar_one() == 1
