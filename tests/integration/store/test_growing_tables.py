"""Migration 0016 on a database in use, with rows of the version before it."""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text

from spotisync.store import migrate
from tests.support.store import Store

GROWING = ("sync_history", "sync_state", "run_events", "play_history", "saved_tracks", "saved_spans")
# As the version before wrote them; saved_spans is written by a trigger.
WRITE = """WITH run AS (
        INSERT INTO sync_history (account_id, sync_type, status, trigger, completed_at)
        VALUES (1, 'incremental', 'success', 'beat', now()) RETURNING id),
    state AS (
        INSERT INTO sync_state (sync_id, state_key, entity_type)
        SELECT id, 'sync_' || id || '_tracks', 'tracks' FROM run),
    events AS (INSERT INTO run_events (sync_id, kind) SELECT id, 'success' FROM run),
    track AS (
        INSERT INTO tracks (id, name, uri) VALUES (:track, 'A', 'u')
        ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id),
    saved AS (
        INSERT INTO saved_tracks AS s (account_id, track_id, added_at) SELECT 1, id, now() FROM track
        ON CONFLICT (account_id, track_id) DO UPDATE SET added_at = excluded.added_at)
    INSERT INTO play_history (account_id, played_at, track_id, source)
    SELECT 1, clock_timestamp(), id, 'recent' FROM track ON CONFLICT DO NOTHING"""


@pytest.fixture
def engine(empty_database_url: str) -> Any:
    migrate.upgrade(empty_database_url, "0015")
    made = create_engine(empty_database_url, poolclass=NullPool)
    with made.begin() as connection:
        connection.execute(text("INSERT INTO accounts (id, spotify_user_id) OVERRIDING SYSTEM VALUE VALUES (1, 'me')"))
    return made


def write(engine: Any, track: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(WRITE), {"track": track})


def read(engine: Any) -> dict[str, list[str]]:
    with engine.begin() as connection:
        return {
            table: list(connection.execute(text(f"SELECT CAST(t AS text) FROM {table} t ORDER BY 1")).scalars())
            for table in (*GROWING, "tracks", "tallies")
        }


@pytest.mark.slow
def test_every_row_survives_0016_up_and_down(empty_database_url: str, engine: Any) -> None:
    for number in range(50):
        write(engine, f"t{number % 7}")
    before = read(engine)
    assert {table: len(rows) for table, rows in before.items()} == {
        **dict.fromkeys(GROWING, 50), "saved_tracks": 7, "tracks": 7, "tallies": len(before["tallies"]),
    }  # fmt: skip
    for _ in range(2):
        migrate.upgrade(empty_database_url, "0016")
        assert read(engine) == before
        migrate.downgrade(empty_database_url, "0015")
        assert read(engine) == before
    migrate.upgrade(empty_database_url)
    migrate.check(empty_database_url)
    write(engine, "later")
    assert [len(read(engine)[table]) for table in GROWING] == [51, 51, 51, 51, 8, 51]


@pytest.mark.slow
def test_workers_write_while_0016_is_applied(
    empty_database_url: str, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_PAUSE_SECONDS", 0.1)
    slowest, writes = 0.0, 0
    with engine.connect() as batch, ThreadPoolExecutor(1) as pool:
        # A batch whose transaction is open holds up the migration, and the migration holds up no other batch for long.
        batch.execute(text(WRITE), {"track": "open"})
        upgrading = pool.submit(migrate.upgrade, empty_database_url, "0016")
        deadline = monotonic() + 5
        while not upgrading.done():
            began = monotonic()
            write(engine, f"t{writes % 7}")
            slowest, writes = max(slowest, monotonic() - began), writes + 1
            if monotonic() > deadline:
                batch.commit()
        upgrading.result()
    assert slowest < 4, "the wait for a lock ends after 3 s"
    assert len(read(engine)["sync_history"]) == writes + 1


def test_tables_that_grow_are_vacuumed_in_small_steps(store: Store) -> None:
    options = "SELECT relname, reloptions FROM pg_class WHERE relname = ANY(:names) AND relkind = 'r'"
    found = {row.relname: row.reloptions for row in store.sql(options, names=list(GROWING))}
    wanted = [f"autovacuum_{kind}_scale_factor=0.05" for kind in ("vacuum", "vacuum_insert", "analyze")]
    assert found == dict.fromkeys(GROWING, wanted)
