"""An incremental without changes at 100,000 saved tracks: our own time, Postgres' time and memory.

The requests are answered in this process and run in other threads, so their time does not count.
"""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, text

from spotisync.core.requests import PAGE
from spotisync.simulator import Server, World
from spotisync.sync import Context
from tests.integration.sync import test_moving_library
from tests.support import driver
from tests.support.driver import Account

TRACKS, ARTISTS, ALBUMS, PLAYLISTS = 100_000, 40_000, 30_000, 300
# Stubs, as with ENRICHMENT=off or while look-ups are deferred.
FILL = f"""
INSERT INTO artists (id, uri, name) SELECT 'x' || n, 'u', 'n' FROM generate_series(1, {ARTISTS}) n;
INSERT INTO albums (id, uri, name) SELECT 'x' || n, 'u', 'n' FROM generate_series(1, {ALBUMS}) n;
INSERT INTO tracks (id, uri, album_id)
    SELECT id, 'u', 'x' || 1 + n % {ALBUMS} FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS i(id, n);
INSERT INTO track_artists SELECT id, 0, 'x' || 1 + n % {ARTISTS}
    FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS i(id, n);
INSERT INTO saved_tracks (account_id, track_id, added_at) SELECT a.id, i.id, i.added_at FROM accounts a,
    unnest(CAST(:ids AS text[]), CAST(:dates AS timestamptz[])) AS i(id, added_at);
UPDATE accounts SET tracks_proved_at = now(), walked_total = {TRACKS}
"""


@dataclass
class Cost:
    """What one run took. `statements`: seconds by statement."""

    cpu: float = 0.0
    peak_mb: float = 0.0
    statements: dict[str, float] = field(default_factory=dict)

    @property
    def postgres(self) -> float:
        return sum(self.statements.values())


@contextmanager
def timed_statements(context: Context, cost: Cost) -> Iterator[None]:
    began: list[float] = []

    def before(*_: Any) -> None:
        began.append(time.perf_counter())

    def after(_: Any, __: Any, statement: str, *___: Any) -> None:
        cost.statements[statement] = cost.statements.get(statement, 0.0) + time.perf_counter() - began.pop()

    engine = context.database._engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)


def incremental(context: Context, account: Account, *, traced: bool = False) -> Cost:
    """Run an incremental that reads the head and the second page."""
    cost = Cost()
    with context.database.begin() as connection:
        connection.execute(text("UPDATE accounts SET patrol_offset = 50"))
    if traced:
        tracemalloc.start()
    with timed_statements(context, cost):
        began = time.thread_time()
        assert driver.incremental_sync(context, account)["status"] == "success"
        cost.cpu = time.thread_time() - began
    if traced:
        cost.peak_mb = tracemalloc.get_traced_memory()[1] / 1024**2
        tracemalloc.stop()
    return cost


def make_world() -> World:
    world = World(TRACKS, seed=3, quirks=False)
    del world.first.playlists[PLAYLISTS:]
    for playlist in world.playlists.values():
        del playlist.rows[1:]
    return world


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
@pytest.mark.timeout(600)
def test_an_incremental_without_changes_costs_little(context: Context, account: Account) -> None:
    world = make_world()
    fill(context, world)
    context.spotify.get = test_moving_library.Spotify(world).get  # type: ignore[method-assign]
    for _ in range(2):  # the first reads the lists of albums and playlists, and the contents
        incremental(context, account)
    # The least of some, because other load on the machine only ever adds time.
    least = min((incremental(context, account) for _ in range(5)), key=lambda cost: cost.cpu + cost.postgres)
    print(f"Python {least.cpu * 1000:.0f} ms, Postgres {least.postgres * 1000:.0f} ms")
    for statement, seconds in sorted(least.statements.items(), key=lambda each: -each[1])[:8]:
        print(f"  {seconds * 1000:6.1f} ms", " ".join(statement.split())[:110])
    assert least.cpu <= 0.5
    peak = incremental(context, account, traced=True).peak_mb
    print(f"peak {peak:.1f} MB")
    assert peak <= 20
