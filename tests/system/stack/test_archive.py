"""A hostile or damaged backup changes nothing outside spotisync's tables, and runs no command."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from spotisync.cli import backup as command
from spotisync.errors import Fatal, SpotisyncError
from spotisync.settings import Settings
from spotisync.stack.archive import Archive, list_known_entries
from spotisync.stack.backup import find_program
from spotisync.store import restore
from spotisync.store.database import Database, split_password
from spotisync.sync.restore import restore_rows
from tests.support.store import Store

OBJECTS = """SELECT md5(string_agg(line, '|' ORDER BY line)) FROM (
    SELECT c::text AS line FROM (SELECT oid, relname, relnamespace, relowner, relkind, relacl::text, relchecks,
        relhastriggers FROM pg_class WHERE relkind <> 't' AND relpersistence = 'p') c
    UNION ALL SELECT (oid, proname, prosrc)::text FROM pg_proc WHERE pronamespace <> 'pg_catalog'::regnamespace
    UNION ALL SELECT (oid, tgname, tgenabled)::text FROM pg_trigger
    UNION ALL SELECT (conname, conrelid, pg_get_constraintdef(oid))::text FROM pg_constraint
    UNION ALL SELECT (rolname, rolsuper)::text FROM pg_roles
    UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT datname::text FROM pg_database
    UNION ALL SELECT (attrelid, attname, atttypid)::text FROM pg_attribute
    UNION ALL SELECT oid::text FROM pg_largeobject_metadata
    UNION ALL SELECT version_num FROM alembic_version
    UNION ALL SELECT * FROM canary) found"""
EVIL_FUNCTION = """CREATE FUNCTION evil(bigint) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch {file}'''; RETURN true; END $$"""


@dataclass
class Target:
    """A database that is restored into, and what must not change in it."""

    settings: Settings
    store: Store
    marker: Path

    def dump(self, file: Path) -> None:
        address, _ = split_password(self.settings.database)
        program = find_program(self.settings, "pg_dump")
        # Without compression, so that mutations reach the rows; through a pipe, so that it contains no offsets, which
        # would no longer be right.
        command = [program, "-Fc", "-Z0", "-O", "-x", f"--dbname={address}"]
        file.write_bytes(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def restore(self, file: Path) -> None:
        archive = Archive(self.settings, file)
        archive.read_revision()
        with self.store.database.begin() as connection:
            sequences = restore.list_sequences(connection)
        with archive.open_rows(restore.TABLES, sequences) as items:
            restore_rows(self.store.database, items, lambda _: None)

    def fingerprint(self) -> Any:
        assert not self.marker.exists()
        return self.store.one(OBJECTS)


@pytest.fixture
def target(make_settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Target]:
    settings = make_settings("http://unused")
    database = Database(settings.database)
    store = Store(database)
    store.account_id = store.account()
    store.run()
    store.sql("INSERT INTO artists (id, name, uri) SELECT i, 'name ' || i, 'uri' FROM generate_series(1, 20) i")
    yield Target(settings, store, tmp_path / "marker")
    database.close()


def test_a_function_of_the_backup_is_refused_by_name_and_never_runs(target: Target, tmp_path: Path) -> None:
    file = tmp_path / "evil.backup"
    with target.store.database.begin() as connection:
        known = list_known_entries(target.settings, restore.TABLES, restore.list_sequences(connection))
    target.store.sql(EVIL_FUNCTION.format(file=target.marker))
    target.store.sql("ALTER TABLE accounts ADD CONSTRAINT evil CHECK (evil(id)) NOT VALID")
    target.store.sql("CREATE TABLE canary AS SELECT 'sings' AS word")
    target.store.sql("SELECT lo_create(4242)")
    target.dump(file)
    others = Archive(target.settings, file).find_others(known)
    kinds = {other.rpartition(" ")[0] for other in others}
    assert {"FUNCTION public evil(bigint)", "TABLE public canary", "TABLE DATA public canary"} <= kinds
    assert any("4242" in other for other in others)

    target.store.sql("ALTER TABLE accounts DROP CONSTRAINT evil")
    target.store.sql("DROP FUNCTION evil")
    target.store.sql("DELETE FROM sync_history; DELETE FROM accounts")
    archive = Archive(target.settings, file)
    command._restore(target.settings, archive, archive.read_revision(), skip_others=True)
    assert target.store.sql("SELECT spotify_user_id FROM accounts") == [("me",)]
    assert target.store.sql("SELECT 1 FROM pg_proc WHERE proname = 'evil'") == []
    assert not target.marker.exists()


def test_entries_of_others_are_named_and_nothing_is_restored(target: Target, tmp_path: Path) -> None:
    target.store.sql("CREATE VIEW my_view AS SELECT 1")
    target.dump(tmp_path / "file")
    target.store.sql("DROP VIEW my_view; DELETE FROM sync_history; DELETE FROM accounts")
    archive = Archive(target.settings, tmp_path / "file")
    with pytest.raises(Fatal, match=r"1 entries.*VIEW public my_view.*--skip-others"):
        command._restore(target.settings, archive, archive.read_revision(), skip_others=False)
    assert target.store.sql("SELECT * FROM accounts") == []


def test_restored_rows_fire_no_trigger_and_sequences_continue(target: Target, tmp_path: Path) -> None:
    target.store.sql("SELECT setval('accounts_id_seq', 70)")
    before = target.store.sql("SELECT * FROM tallies ORDER BY 1, 2, 3")
    target.dump(tmp_path / "file")
    target.restore(tmp_path / "file")
    assert target.store.sql("SELECT * FROM tallies ORDER BY 1, 2, 3") == before
    assert target.store.one("SELECT nextval('accounts_id_seq')") == 71
    assert target.store.one("SELECT bool_and(tgenabled = 'O') FROM pg_trigger")


# Texts of an archive (a length and the bytes), and what an attacker would write instead.
ATTACKS = (
    (b"COPY public.artists (", b"COPY public.artists FROM PROGRAM 'touch {marker}'; --"),
    (b"COPY public.artists (", b"COPY public.canary ("),
    (b"COPY public.accounts (", b"\\! touch {marker}\nCOPY public.accounts ("),
    (b"artists", b"canary"),
    (b"artists", b"artists\nCOPY public.canary (word) FROM stdin;\nx\n\\.\n"),
    (b"CREATE TABLE public.artists", b"COPY (SELECT 1) TO PROGRAM 'touch {marker}'; CREATE TABLE public.artists"),
    (b"SELECT pg_catalog.setval('public.accounts_id_seq'", b"DROP TABLE canary; SELECT ('public.accounts_id_seq'"),
    (b"TABLE DATA", b"BLOB"),
    (b"TABLE DATA", b"FUNCTION"),
    (b"public", b"pg_catalog"),
    (b"alembic_version", b"canary"),
)


def replace_text(content: bytes, old: bytes, new: bytes, number: int) -> bytes:
    """Replace the beginning of one text, and correct its length."""
    starts = [at for at in range(len(content)) if content.startswith(old, at)]
    if not starts:
        return content
    at = starts[number % len(starts)]
    length = int.from_bytes(content[at - 4 : at], "little")
    if content[at - 5 : at - 4] != b"\0" or not len(old) <= length < 100_000:
        return content[:at] + new + content[at + len(old) :]
    grown = length + len(new) - len(old)
    return content[: at - 4] + grown.to_bytes(4, "little") + new + content[at + len(old) :]


def mutate(content: bytes, marker: Path, data: DataObject) -> bytes:
    for _ in range(data.draw(st.integers(0, 3))):
        old, new = data.draw(st.sampled_from(ATTACKS))
        number = data.draw(st.integers(0, 50))
        content = replace_text(content, old, new.replace(b"{marker}", str(marker).encode()), number)
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.integers(0, 3))
        content = content[:at] + data.draw(st.binary(max_size=4)) + content[at + cut :]
    return content


def check_mutated_backups(target: Target, directory: Path, examples: int) -> None:
    target.store.sql("CREATE TABLE canary AS SELECT 'sings' AS word")
    target.dump(directory / "whole")
    whole, before = (directory / "whole").read_bytes(), target.fingerprint()
    outcomes: set[bool] = set()

    @hypothesis_settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(data: DataObject) -> None:
        (directory / "mutated").write_bytes(mutate(whole, target.marker, data))
        try:
            target.restore(directory / "mutated")
            outcomes.add(True)
        except SpotisyncError:
            outcomes.add(False)
        assert target.fingerprint() == before

    check()
    assert outcomes == {True, False}


@pytest.mark.slow
def test_mutated_backups_touch_nothing_but_our_tables(target: Target, tmp_path: Path) -> None:
    check_mutated_backups(target, tmp_path, 60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_thousand_mutated_backups_touch_nothing_else(target: Target, tmp_path: Path) -> None:
    check_mutated_backups(target, tmp_path, int(os.environ.get("EXAMPLES", "2000")))
