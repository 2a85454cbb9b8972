"""The API on a long history: what a request costs with everything around it, but for the network."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx

from benchmarks.place import Place, connected
from benchmarks.rows import Row

SECTION = "The API, {runs:,} runs of history"
SAMPLES = 200
DEEP = 100
"""Requests of `history`, each for the page after the one before."""

RUNS = """
    INSERT INTO accounts (spotify_user_id) VALUES ('benchmark'), ('other');
    INSERT INTO sync_history (account_id, sync_type, status, trigger, started_at, completed_at, items_processed)
        SELECT (SELECT id FROM accounts WHERE spotify_user_id = CASE WHEN n % 10 = 0 THEN 'other' ELSE 'benchmark' END),
            CASE WHEN n % 300 = 0 THEN 'full' ELSE 'incremental' END,
            CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'success' END,
            'beat', now() - (%(runs)s - n) * interval '30 minutes',
            now() - (%(runs)s - n) * interval '30 minutes' + interval '2 seconds', 2
        FROM generate_series(1, %(runs)s) n;
    INSERT INTO sync_state (sync_id, state_key, entity_type, status, items_processed, batches, busy_seconds)
        SELECT r.id, 'sync_' || r.id || '_' || p, p, 'success', 2, 1, 0.5
        FROM sync_history r, unnest(ARRAY['tracks', 'artists', 'albums', 'playlists']) p;
    INSERT INTO sync_history (account_id, sync_type, status, trigger)
        SELECT id, 'full', 'in_progress', 'api' FROM accounts WHERE spotify_user_id = 'benchmark';
    INSERT INTO sync_state (sync_id, state_key, entity_type)
        SELECT r.id, 'sync_' || r.id || '_' || p, p
        FROM sync_history r, unnest(ARRAY['tracks', 'artists', 'albums', 'playlists']) p
        WHERE r.status = 'in_progress';
    ANALYZE"""


def measure(here: Place, runs: int) -> Iterator[Row]:
    with connected(here.fresh()) as connection:
        for statement in RUNS.replace("%(runs)s", str(runs)).split(";"):
            connection.execute(statement.encode())
    yield from asyncio.run(_rows(SECTION.format(runs=runs)))


async def _rows(section: str) -> list[Row]:
    from spotisync.settings import settings  # Celery's configuration is read with the application
    from spotisync.web import create_app

    app = create_app(settings())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        status = [await _timed(client, "/api/sync/status?account=benchmark") for _ in range(SAMPLES)]
        both = [await _timed(client, "/api/sync/status") for _ in range(SAMPLES)]
        pages = [each async for each in _pages(client, "/api/sync/history?limit=50")]
        own = [each async for each in _pages(client, "/api/sync/history?limit=50&account=other")]
    app.state.sync.close()
    return [
        Row(section, "status of one account", "ms", tuple(status), "while a run goes"),
        Row(section, "status of two", "ms", tuple(both)),
        Row(section, "history, 50 a page", "ms", tuple(pages), f"{len(pages)} pages deep"),
        Row(section, "... of one account", "ms", tuple(own), "which has a tenth of it"),
    ]


async def _pages(client: httpx.AsyncClient, url: str) -> AsyncIterator[float]:
    for _ in range(DEEP):
        answer = await client.get(url)
        answer.raise_for_status()
        yield answer.elapsed.total_seconds() * 1000
        if "next" not in answer.links:
            return
        url = answer.links["next"]["url"]


async def _timed(client: httpx.AsyncClient, url: str) -> float:
    answer = await client.get(url)
    answer.raise_for_status()
    return answer.elapsed.total_seconds() * 1000
