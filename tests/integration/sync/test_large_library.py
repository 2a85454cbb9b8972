"""An incremental at 100,000 saved tracks, without changes and after removals: our own time, Postgres' time, and memory.

Times are processor time, which other load on the machine hardly changes. The requests are answered in this process,
in other threads, so they do not count.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from spotisync.core.requests import PAGE
from spotisync.simulator import Server, World
from spotisync.store import migrate
from spotisync.sync import Context
from tests.integration.sync import test_moving_library
from tests.support import driver
from tests.support.driver import Account

TRACKS, ARTISTS, ALBUMS, PLAYLISTS = 100_000, 40_000, 30_000, 300
# Stubs, as with ENRICHMENT=off or while look-ups are deferred.
FILL = f"""
INSERT INTO artists (id, uri, name, enrichment, enriched_at)
    SELECT 'x' || n, 'u', 'n', 'full', now() FROM generate_series(1, {ARTISTS}) n;
INSERT INTO albums (id, uri, name, enrichment, enriched_at)
    SELECT 'x' || n, 'u', 'n', 'full', now() FROM generate_series(1, {ALBUMS}) n;
INSERT INTO tracks (id, uri, album_id)
    SELECT id, 'u', 'x' || 1 + n % {ALBUMS} FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS i(id, n);
INSERT INTO track_artists SELECT id, 0, 'x' || 1 + n % {ARTISTS}
    FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS i(id, n);
INSERT INTO saved_tracks (account_id, track_id, added_at) SELECT a.id, i.id, i.added_at FROM accounts a,
    unnest(CAST(:ids AS text[]), CAST(:dates AS timestamptz[])) AS i(id, added_at);
UPDATE accounts SET tracks_proved_at = now(), walked_total = {TRACKS}
"""


@dataclass(frozen=True)
class Cost:
    """The processor time of one run, in seconds."""

    python: float
    postgres: float

    @property
    def total(self) -> float:
        return self.python + self.postgres


def incremental(context: Context, account: Account) -> Cost:
    """Run an incremental that reads the head and the second page."""
    with context.database.begin() as connection:
        connection.execute(text("UPDATE accounts SET patrol_offset = 50"))
    python, postgres = time.thread_time(), postgres_seconds(context)
    assert driver.incremental_sync(context, account)["status"] == "success"
    return Cost(time.thread_time() - python, postgres_seconds(context) - postgres)


def postgres_seconds(context: Context) -> float:
    """Return the processor time of this database's sessions."""
    with context.database.begin() as connection:
        pids = list(
            connection.execute(text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")).scalars()
        )
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def count_removed(context: Context) -> int:
    with context.database.begin() as connection:
        removed = connection.execute(text("SELECT count(*) FROM saved_tracks WHERE removed_at IS NOT NULL"))
        return int(removed.scalar_one())


def peak_megabytes(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1024**2
    finally:
        tracemalloc.stop()


def make_world() -> World:
    world = World(TRACKS, seed=3, quirks=False)
    del world.first.playlists[PLAYLISTS:]
    for playlist in world.playlists.values():
        del playlist.rows[1:]
    return world


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """Not the shared database: the statistics would stay in it, and change the plans of other tests."""
    migrate.upgrade(empty_database_url)
    return empty_database_url


@pytest.fixture
def context(make_context: Callable[..., Context], simulator: Server, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A context with a large library, as a full sync has stored it, and without HTTP."""
    monkeypatch.setattr(test_moving_library, "ROWS", PAGE)
    return make_context(simulator, enrichment="off")


def fill(context: Context, world: World) -> None:
    saved = list(world.first.saved)
    values = {
        "ids": [world.catalogue.ids.of("track", track) for _, track in saved],
        "dates": [datetime.fromtimestamp(at, UTC) for at, _ in saved],
    }
    with context.database.begin() as connection:
        for statement in FILL.split(";"):
            connection.execute(text(statement), values)
    # Servers of the tests have no autovacuum.
    with context.database._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="processor times are read as Linux shows them")
@pytest.mark.timeout(600)
def test_an_incremental_of_a_large_library_costs_little(context: Context, account: Account) -> None:
    world = make_world()
    fill(context, world)
    context.spotify.get = test_moving_library.Spotify(world).get  # type: ignore[method-assign]
    for _ in range(2):  # the first reads the lists of albums and playlists, and the contents
        incremental(context, account)
    with context.database.begin() as connection:  # as a full sync leaves them
        for entity in ("artists", "albums"):
            connection.execute(text(f"UPDATE {entity} SET enrichment = 'full', enriched_at = now()"))
    least = min((incremental(context, account) for _ in range(5)), key=lambda cost: cost.total)
    print(f"Python {least.python * 1000:.0f} ms, Postgres {least.postgres * 1000:.0f} ms")
    assert least.total <= 0.5
    peak = peak_megabytes(lambda: incremental(context, account))
    for number in range(3):
        world.edit("unlike", rng=Random(number))
    searched = peak_megabytes(lambda: incremental(context, account))
    print(f"peak {peak:.1f} MB, of a search {searched:.1f} MB")
    assert max(peak, searched) <= 20
    assert count_removed(context) == 3
