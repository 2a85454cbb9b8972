"""A batch costs the same for any stored library, even without statistics in Postgres, as in these tests."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from spotisync.simulator import start
from spotisync.stack.postgres import OPTIONS
from spotisync.store.database import Database
from spotisync.sync import Context, accounts
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store

STORED = 20_000
# The rows that a transaction may read of one table: the rows of its batch a few times.
MOST = 2_500
PAGE_COST = OPTIONS["random_page_cost"]
# The worst case: Postgres plans a statement once, while the tables are almost empty.
OLD_PLANS = "-c%20plan_cache_mode%3Dforce_generic_plan"
FILL = """
INSERT INTO artists (id, uri, enrichment) SELECT 'x' || n, 'u', 'full' FROM generate_series(1, :n) n;
INSERT INTO albums (id, uri, enrichment) SELECT 'x' || n, 'u', 'full' FROM generate_series(1, :n) n;
INSERT INTO tracks (id, uri, album_id) SELECT 'x' || n, 'u', 'x' || n FROM generate_series(1, :n) n;
INSERT INTO track_artists SELECT 'x' || n, 0, 'x' || n FROM generate_series(1, :n) n;
INSERT INTO album_artists SELECT 'x' || n, 0, 'x' || n FROM generate_series(1, :n) n;
INSERT INTO playlists (id, collaborative, snapshot_id) SELECT 'x' || n, false, 's' FROM generate_series(1, 200) n;
INSERT INTO playlist_items (playlist_id, position, kind, track_id)
    SELECT 'x' || 1 + n % 200, n, 'track', 'x' || n FROM generate_series(1, :n) n;
INSERT INTO saved_tracks (account_id, track_id, added_at)
    SELECT a.id, 'x' || n, '2020-01-01' FROM generate_series(1, :n) n, accounts a;
INSERT INTO seen_tracks (sync_id, track_id, added_at)
    SELECT r.id, 'x' || n, now() FROM generate_series(1, :n) n, sync_history r;
INSERT INTO staged_items (sync_id, playlist_id, position, kind)
    SELECT r.id, 'x' || 1 + n % 200, n, 'track' FROM generate_series(1, :n) n, sync_history r
"""
READ = "SELECT relname, COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"


class CountingDatabase(Database):
    """Records how many rows of each table a transaction reads."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.read: list[dict[str, int]] = []

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with super().begin() as connection:
            yield connection
            self.read.append({table: int(rows) for table, rows in connection.execute(text(READ))})
            connection.execute(
                text("SELECT pg_stat_force_next_flush()")
            )  # otherwise the next transaction would include these numbers


@pytest.fixture
def counting(database_url: str) -> Iterator[CountingDatabase]:
    made = CountingDatabase(f"{database_url}&options={OLD_PLANS}%20-c%20random_page_cost%3D{PAGE_COST}")
    yield made
    made.close()


@pytest.mark.slow
def test_a_batch_reads_as_little_of_a_large_library_as_of_a_small_one(
    make_context: Callable[..., Context], counting: CountingDatabase, store: Store
) -> None:
    with start(600, seed=5) as simulator:
        context = make_context(simulator, tracks_batch_size=50, artists_batch_size=50, albums_batch_size=40)
        account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
        # An app that is seen in the full regime for the first time has the contents of all playlists checked, once.
        store.sql("INSERT INTO apps (client_id, regime) VALUES (:id, 'full')", id=context.default_app.client_id)
        old, run = store.run(status="failed"), driver.start(context, account)
        counted = replace(context, database=counting)
        for _ in range(7):  # psycopg prepares a statement at its sixth execution
            driver.step(counted, run)
        counting.read.clear()
        for statement in FILL.split(";"):
            store.sql(statement, n=STORED)
        assert store.one("SELECT count(*) FROM pg_stats WHERE tablename = 'saved_tracks'") == 0
        assert driver.run_to_end(counted, run)["status"] == "success"
        assert store.one("SELECT count(*) FROM seen_tracks WHERE sync_id = :id", id=old.id) == STORED
    much = Counter(table for read in counting.read for table, rows in read.items() if rows > MOST)
    # After a proven walk, and at the beginning and the end of each stage of look-ups, a run reads its account's rows.
    assert {table: times for table, times in much.items() if times > 5} == {}
