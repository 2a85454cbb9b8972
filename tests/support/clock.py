"""A clock that moves: the time of a Postgres database, and of the simulator that it reads, ahead of the real time.

The schema `clock` has functions with the names of Postgres' own. It comes first in the search_path, so that an
unqualified `now()` in a query, a function, a trigger or the default of a column is the moved one. `CURRENT_TIMESTAMP`
and `'now'` are not: spotisync uses neither (a test makes sure). `pg_stat_activity` and Python keep the real time, which
matters to the client's pace and to a Retry-After that is a date.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from spotisync.simulator import Control, Server
from spotisync.sync import Context

# `store/engine.py` sets the search_path of each session with set_config(), which must not lose this schema.
_SCHEMA = """
CREATE SCHEMA clock;
GRANT USAGE ON SCHEMA clock TO PUBLIC;
CREATE TABLE clock.ahead (by interval NOT NULL);
GRANT SELECT ON clock.ahead TO PUBLIC;
INSERT INTO clock.ahead VALUES ('0');
CREATE FUNCTION clock.set_config(name text, value text, is_local boolean) RETURNS text LANGUAGE sql AS $$
    SELECT pg_catalog.set_config(name, CASE name WHEN 'search_path' THEN 'clock, ' || value || ', pg_catalog'
        ELSE value END, is_local) $$;
"""
# PL/pgSQL keeps the plan of its body; Postgres plans the body of an SQL function anew in each query that calls it.
_FUNCTION = """CREATE FUNCTION clock.{name}() RETURNS timestamptz LANGUAGE plpgsql {volatility} PARALLEL SAFE AS $$
    BEGIN RETURN pg_catalog.{name}() + (SELECT by FROM clock.ahead); END $$"""
FUNCTIONS = {
    "now": "STABLE",
    "transaction_timestamp": "STABLE",
    "statement_timestamp": "STABLE",
    "clock_timestamp": "VOLATILE",
}


def install(database_url: str) -> None:
    """Give an empty database a movable clock. Call it before the migrations: they resolve the defaults of columns."""
    with _connect(database_url) as connection:
        connection.execute(_SCHEMA)
        for name, volatility in FUNCTIONS.items():
            connection.execute(_FUNCTION.format(name=name, volatility=volatility).encode())
    set_search_path(database_url)


def set_search_path(database_url: str) -> None:
    """Needed for a copy of a database with a movable clock: Postgres does not copy settings of databases."""
    with _connect(database_url) as connection:
        statement = sql.SQL("ALTER DATABASE {} SET search_path = clock, public, pg_catalog")
        connection.execute(statement.format(sql.Identifier(connection.info.dbname)))


class Clock:
    """Moves the time of a database with a movable clock and, if given, of a simulator."""

    def __init__(self, database_url: str, simulator: Control | None = None) -> None:
        self._connection, self._simulator = _connect(database_url), simulator

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def now(self) -> datetime:
        moment: datetime = self._ask("SELECT clock.clock_timestamp()")
        return moment

    def advance(self, seconds: float) -> datetime:
        """Move both forward and return the new time. Transactions in progress see the new time too."""
        ahead = self._ask("UPDATE clock.ahead SET by = by + make_interval(secs => %s) RETURNING by", seconds)
        if self._simulator is not None:
            self._simulator.settings(clock_offset=ahead / timedelta(seconds=1))
        return self.now()

    def _ask(self, statement: LiteralString, *values: float) -> Any:
        row = self._connection.execute(statement, values).fetchone()
        assert row
        return row[0]


@dataclass(frozen=True)
class TimedContext:
    """A context with a database of its own and an in-process simulator, whose times `clock` moves together."""

    context: Context
    simulator: Server
    clock: Clock


def _connect(database_url: str) -> psycopg.Connection:
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url, autocommit=True)
