"""The movable clock of the tests: everything in the database that asks for the time gets the moved time."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

import spotisync
from spotisync.sync import accounts, playback
from tests.support.clock import FUNCTIONS, Clock, TimedContext
from tests.support.driver import Account, full_sync
from tests.support.plays import assert_plays_are_true
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

DAY = 86_400
NEAR = timedelta(minutes=1)


@pytest.fixture
def timed_account(timed_context: TimedContext) -> Account:
    added = accounts.add(timed_context.context, timed_context.simulator.refresh_token(), None)
    return Account(added.spotify_user_id)


@pytest.fixture
def timed_store(timed_context: TimedContext) -> Store:
    return Store(timed_context.context.database)


@pytest.fixture
def plain(timed_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection with the session settings of the database only, as of psql."""
    with psycopg.connect(timed_database_url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def is_ahead(moment: datetime, seconds: float) -> bool:
    return abs(moment - datetime.now(UTC) - timedelta(seconds=seconds)) < NEAR


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_for_the_time_moves(timed_context: TimedContext, timed_store: Store, name: str) -> None:
    assert is_ahead(timed_store.one(f"SELECT {name}()"), 0)
    timed_context.clock.advance(DAY)
    assert is_ahead(timed_context.clock.advance(DAY / 2), 1.5 * DAY)
    assert is_ahead(timed_store.one(f"SELECT {name}()"), 1.5 * DAY)
    assert is_ahead(timed_store.one(f"SELECT pg_catalog.{name}()"), 0)


def test_the_simulator_moves_with_it(timed_context: TimedContext) -> None:
    timed_context.clock.advance(DAY)
    world = datetime.fromtimestamp(timed_context.simulator.world.now(), UTC)
    assert abs(world - timed_context.clock.now()) < timedelta(seconds=1)


def test_now_is_constant_within_a_transaction(timed_context: TimedContext) -> None:
    with timed_context.context.database.begin() as connection:
        first, clock_then = connection.execute(text("SELECT now(), clock_timestamp()")).one()
        second, clock_later = connection.execute(text("SELECT now(), clock_timestamp()")).one()
        assert (first, clock_then < clock_later) == (second, True)
        timed_context.clock.advance(DAY)
        assert connection.execute(text("SELECT now()")).scalar_one() == first + timedelta(days=1)


def test_prepared_statements_move(timed_database_url: str, plain: psycopg.Connection[Any]) -> None:
    with Clock(timed_database_url) as clock:
        for number in range(4):
            found = plain.execute("SELECT now()", prepare=True).fetchone()
            assert found
            assert is_ahead(found[0], number * DAY)
            clock.advance(DAY)


def test_defaults_triggers_and_functions_move(timed_database_url: str, plain: psycopg.Connection[Any]) -> None:
    """Also functions that set a search_path, if it names the schema; one without it keeps the real time."""
    plain.execute(
        b"""CREATE TABLE stamped (id integer, made timestamptz DEFAULT now(), changed timestamptz);
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed = now(); RETURN NEW; END $$;
        CREATE TRIGGER stamp BEFORE INSERT ON stamped FOR EACH ROW EXECUTE FUNCTION stamp();
        CREATE FUNCTION told() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';
        CREATE FUNCTION parsed() RETURNS timestamptz LANGUAGE sql RETURN now();
        CREATE FUNCTION pinned() RETURNS timestamptz LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT now()';
        CREATE FUNCTION away() RETURNS timestamptz LANGUAGE sql SET search_path = public AS 'SELECT now()'"""
    )
    with Clock(timed_database_url) as clock:
        clock.advance(DAY)
    plain.execute("INSERT INTO stamped (id) VALUES (1)")
    found = plain.execute("SELECT made, changed, told(), parsed(), pinned(), away() FROM stamped").fetchone()
    assert found
    assert [is_ahead(moment, DAY) for moment in found] == [True] * 5 + [False]


def test_the_defaults_of_our_tables_move(timed_store: Store) -> None:
    """They are resolved when the tables are made, so the schema must be there before the migrations."""
    defaults = timed_store.sql(
        """SELECT attrelid::regclass::text, attname, pg_get_expr(adbin, adrelid) FROM pg_attrdef
        JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
        WHERE pg_get_expr(adbin, adrelid) ~ '(now|timestamp)\\('"""
    )
    assert defaults
    # Postgres writes a name with its schema if the search_path would resolve it to another one.
    assert [row for row in defaults if "pg_catalog" in row[2]] == []


def test_no_statement_asks_for_a_time_that_does_not_move(timed_store: Store) -> None:
    package = Path(spotisync.__file__).parent
    migrations = package.parent / "migrations"
    unmoved = re.compile(r"\b(current_(timestamp|date|time)|localtime(stamp)?|pg_catalog\.now|timeofday)\b|'now'::")
    files = [*(package / "store").rglob("*.py"), *(package / "status").rglob("*.py"), *migrations.rglob("*.py")]
    assert len(files) > 20
    assert [file.name for file in files if unmoved.search(file.read_text().lower())] == []
    pinned = timed_store.sql(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proconfig <> '{}'"
    )
    assert pinned == [], "a function with a search_path of its own would keep the real time"


def test_access_tokens_expire_here_and_at_the_simulator_together(
    timed_context: TimedContext, timed_account: Account
) -> None:
    """A run a day later asks for a new token before Spotify refuses the old one."""
    full_sync(timed_context.context, timed_account)
    control = timed_context.simulator.control
    control.edit("like")
    control.reset_log()
    timed_context.clock.advance(DAY)
    assert full_sync(timed_context.context, timed_account)["status"] == "success"
    control.edit("play")
    playback.track_plays(timed_context.context)
    asked = control.requests()
    assert [each for each in asked if each["status"] == 401] == []
    assert sum(each["path"] == "/api/token" for each in asked) == 1
    assert_tables_equal_truth(timed_context.context, timed_account, control.truth())


def test_a_cooldown_ends_when_the_clock_has_moved_past_it(timed_context: TimedContext, timed_store: Store) -> None:
    gate = timed_context.context.default_app.gate
    gate.record_429("library", "3600", quota=True)
    assert gate.find_block("library")
    timed_context.clock.advance(3_599 - NEAR.seconds)
    assert gate.find_block("library", fresh=True)
    timed_context.clock.advance(2 * NEAR.seconds)
    assert gate.find_block("library", fresh=True) is None


def test_two_days_of_listening_are_in_the_tables(timed_context: TimedContext, timed_account: Account) -> None:
    """The shop plays about seventeen tracks an hour, so fifty can't scroll by between two reads."""
    context, control = timed_context.context, timed_context.simulator.control
    control.start_rhythm("all_day", timed_account.name)
    for _ in range(2 * 24):
        timed_context.clock.advance(DAY / 24)
        playback.track_plays(context)
    truth = control.truth(timed_account.name)
    assert len(truth["plays"]) > 500
    assert_plays_are_true(context.database, timed_account, truth["plays"])
    limited = [each for each in control.requests() if each["status"] == 429]
    assert limited == []
    assert {each["client_id"] for each in control.requests()} == {"simulated"}
