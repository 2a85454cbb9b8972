"""Databases that are not spotisync's, or of another version: each command says so, with what fixes it."""

from collections.abc import Callable

import pytest

from spotisync.settings import Settings
from spotisync.store import migrate
from tests.integration.store.test_migrate import query
from tests.system.command_line import CommandResult, InProcess
from tests.system.programs import environment

COMMANDS = ["status", "history", "budget", "schedule", "export out", "report out.html", "accounts list", "sync full"]
OTHERS = {
    "empty": "SELECT 1",
    "of another program": "CREATE TABLE accounts (id integer); CREATE TABLE tracks (id integer)",
    "of another program with Alembic": "CREATE TABLE alembic_version (version_num text PRIMARY KEY); "
    "INSERT INTO alembic_version VALUES ('ae1027a6acf')",
}


@pytest.fixture
def run(empty_database_url: str, make_settings: Callable[..., Settings]) -> Callable[[str], CommandResult]:
    env = environment(make_settings("http://127.0.0.1:1", database_url=empty_database_url))
    return lambda command: check(InProcess(env)(*command.split()))


def check(result: CommandResult) -> CommandResult:
    assert result.code in {1, 2, 3}, result
    assert "Traceback" not in result.err
    assert "Unexpected error" not in result.err
    return result


@pytest.mark.parametrize("statement", OTHERS.values(), ids=OTHERS)
def test_a_database_of_others_is_refused_with_a_cure(
    empty_database_url: str, run: Callable[[str], CommandResult], statement: str
) -> None:
    query(empty_database_url, statement)
    for command in COMMANDS:
        assert "spotisync db upgrade" in run(command).err, command


@pytest.mark.parametrize("statement", [*OTHERS.values()][1:], ids=[*OTHERS][1:])
def test_tables_of_others_are_not_upgraded(
    empty_database_url: str, run: Callable[[str], CommandResult], statement: str
) -> None:
    query(empty_database_url, statement)
    before = query(empty_database_url, "SELECT relname FROM pg_class ORDER BY 1")
    result = run("db upgrade")
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1
    assert query(empty_database_url, "SELECT relname FROM pg_class ORDER BY 1") == before


def test_an_older_schema_is_refused_with_the_command(
    empty_database_url: str, run: Callable[[str], CommandResult]
) -> None:
    migrate.upgrade(empty_database_url, "0001")
    for command in ("status", "export out", "sync full"):
        assert "spotisync db upgrade" in run(command).err, command
