"""Databases that can't be used are refused in words, by the upgrade and by doctor."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy.engine import make_url

from spotisync.cli import checks
from spotisync.cli.checks import Finding
from spotisync.errors import Misconfigured
from spotisync.settings import Settings
from spotisync.store import migrate, suitability
from spotisync.store.database import Database
from tests.integration.store.test_migrate import query
from tests.support.servers import as_superuser

Examine = Callable[[str], Finding]


@pytest.fixture
def examine(make_settings: Callable[..., Settings]) -> Examine:
    """The first failed finding of doctor about this database."""

    def find(url: str) -> Finding:
        database = Database(url)
        found, is_current = checks.check_database_server(make_settings("http://x", database_url=url), database)
        database.close()
        assert not is_current
        return next(each for each in found if each.state == "failed")

    return find


def assert_refused(url: str, examine: Examine, *parts: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        migrate.upgrade(url)
    finding = examine(url)
    for part in parts:
        assert part in str(refused.value)
        assert part in f"{finding.message}; {finding.cure}"


@pytest.fixture
def guest_url(empty_database_url: str) -> Iterator[str]:
    query(as_superuser(empty_database_url), "CREATE ROLE guest2 LOGIN")
    yield empty_database_url.replace("//spotisync@", "//guest2@")
    query(as_superuser(empty_database_url), "DROP OWNED BY guest2 CASCADE")
    query(as_superuser(empty_database_url), "DROP ROLE guest2")


def test_a_role_that_may_not_create_is_refused_with_the_grant(
    guest_url: str, empty_database_url: str, examine: Examine
) -> None:
    grant = "GRANT USAGE, CREATE ON SCHEMA public TO guest2"
    assert_refused(guest_url, examine, "the role guest2 may not create tables in the schema public", grant)
    query(empty_database_url, grant)
    migrate.upgrade(guest_url)


def test_a_role_that_does_not_own_the_tables_is_refused(guest_url: str, empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "0001")
    query(empty_database_url, "GRANT ALL ON SCHEMA public TO guest2")
    query(empty_database_url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO guest2")
    with pytest.raises(Misconfigured, match=r"must be owner of .*; migrate as the role that owns the tables"):
        migrate.upgrade(guest_url)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_an_encoding_that_is_not_utf8_is_refused(empty_database_url: str, examine: Examine, encoding: str) -> None:
    url = make_url(empty_database_url)
    name = f"odd_{encoding.lower()}"
    with psycopg.connect(host=str(url.query["host"]), user=url.username, dbname=url.database, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        try:
            odd = url.set(database=name).render_as_string(hide_password=False)
            assert_refused(odd, examine, f"the encoding {encoding}", "ENCODING 'UTF8'")
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_server_older_than_the_oldest_supported_one_is_refused(
    empty_database_url: str, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suitability, "OLDEST_POSTGRES", 99)
    assert_refused(empty_database_url, examine, "is older than 99, the oldest supported version", "upgrade the server")


def test_migrations_refuse_a_pooler_but_not_if_there_is_nothing_to_do(
    empty_database_url: str, examine: Examine
) -> None:
    pooled = f"{empty_database_url}&pgbouncer=true"
    assert_refused(pooled, examine, "leads to a pooler", "SPOTISYNC_MIGRATION_DATABASE_URL")
    migrate.upgrade(empty_database_url)
    migrate.upgrade(pooled)


def test_a_database_of_a_newer_version_is_refused(empty_database_url: str, examine: Examine) -> None:
    migrate.upgrade(empty_database_url)
    query(empty_database_url, "UPDATE alembic_version SET version_num = '9999'")
    needed = migrate.get_needed_revision()
    cure = f"spotisync db downgrade {needed}"
    assert_refused(empty_database_url, examine, "at revision 9999, newer than this version", cure)
    with pytest.raises(Misconfigured, match="newer than this version"):
        migrate.downgrade(empty_database_url, "0001")
