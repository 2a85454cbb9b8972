"""The role for dashboards reads the library but no login, and changes nothing. One test, since roles are global."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from spotisync.store import migrate, reader_role
from spotisync.store.schema import VIEWS, metadata
from tests.support.people_sql import QUESTIONS, expand_macros, panel_queries
from tests.support.store import Store
from tests.system.command_line import InProcess
from tests.system.programs import environment

# Tables that the role can't read. A new table belongs here or becomes readable.
HIDDEN = {
    "waiters",
    "seen_tracks",
    "seen_nulls",
    "null_rows",
    "excess_rows",
    "read_rows",
    "staged_items",
    "pending_lookups",
    "ended_sessions",
}


def test_the_reader_role_reads_tables_but_no_tokens(store: Store, make_settings: Callable[..., Any]) -> None:
    spotisync = InProcess({**environment(make_settings("http://unused")), "SPOTISYNC_TIMEZONE": "Asia/Kathmandu"})
    made = spotisync("db", "reader", "--password-stdin", stdin="a word\n")
    assert made.err == ""
    assert made.out == "spotisync_reader can now read the library.\n"
    assert "Its password: " in spotisync("db", "reader").out
    try:
        engine = create_engine(make_settings("http://unused").database.replace("spotisync@", "spotisync_reader@"))
        with engine.connect() as reader:
            assert _readable_tables(reader) == {*metadata.tables, *VIEWS} - HIDDEN
            assert reader.execute(text("SHOW timezone")).scalar_one() == "Asia/Kathmandu"
            for view in VIEWS:
                assert reader.execute(text(f"SELECT * FROM {view}")).all() == []
            for query in (*QUESTIONS.values(), *panel_queries().values()):
                reader.exec_driver_sql(expand_macros(query, 1, "2026-01-01", "2026-02-01").replace("%", "%%"))
            assert reader.execute(text("SELECT spotify_user_id FROM accounts")).all()
            assert reader.execute(text("SELECT * FROM library_as_of(1, now())")).all() == []
            reader.rollback()
            for refused in (
                "SELECT refresh_token FROM accounts",
                "SELECT client_secret FROM accounts",
                "SELECT * FROM waiters",
                "DELETE FROM saved_tracks",
                "SET TRANSACTION READ WRITE; UPDATE artists SET name = ''",
            ):
                with pytest.raises(DBAPIError, match=r"permission denied|read-only"):
                    reader.execute(text(refused))
                reader.rollback()
        engine.dispose()
        store.sql(f"REVOKE ALL ON artists FROM {reader_role.NAME}")
        migrate.upgrade(make_settings("http://unused").database)
        assert store.sql(f"SELECT has_table_privilege('{reader_role.NAME}', 'artists', 'SELECT')") == [(True,)]
    finally:
        assert spotisync("db", "reader", "--drop").out == "Dropped spotisync_reader.\n"
    assert spotisync("db", "reader", "--drop").out == "spotisync_reader does not exist.\n"


def _readable_tables(reader: Any) -> set[str]:
    rows = reader.execute(
        text(
            """SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = 'public'::regnamespace
            AND has_any_column_privilege(oid, 'SELECT')"""
        )
    )
    return {row.relname for row in rows}
