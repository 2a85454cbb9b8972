"""Requests to the API with a long history, through the whole application but without the network."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx

from benchmarks.environment import Environment, connect
from benchmarks.report import Measurement

SECTION = "The API, {runs:,} runs of history"
SAMPLES = 200
PAGES = 100

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


def measure(environment: Environment, runs: int) -> Iterator[Measurement]:
    with connect(environment.create_database()) as connection:
        for statement in RUNS.replace("%(runs)s", str(runs)).split(";"):
            connection.execute(statement.encode())
    yield from asyncio.run(_measurements(SECTION.format(runs=runs)))


async def _measurements(section: str) -> list[Measurement]:
    from spotisync.settings import settings  # the application loads Celery's configuration
    from spotisync.web import create_app

    app = create_app(settings())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        status = [await _timed(client, "/api/sync/status?account=benchmark") for _ in range(SAMPLES)]
        both = [await _timed(client, "/api/sync/status") for _ in range(SAMPLES)]
        pages = [each async for each in _pages(client, "/api/sync/history?limit=50")]
        own = [each async for each in _pages(client, "/api/sync/history?limit=50&account=other")]
    app.state.context.close()
    return [
        Measurement(section, "status of one account", "ms", tuple(status), "with a running sync"),
        Measurement(section, "status of two", "ms", tuple(both)),
        Measurement(section, "history, 50 per page", "ms", tuple(pages), f"{len(pages)} pages"),
        Measurement(section, "... of one account", "ms", tuple(own), "with a tenth of the runs"),
    ]


async def _pages(client: httpx.AsyncClient, url: str) -> AsyncIterator[float]:
    for _ in range(PAGES):
        reply = await client.get(url)
        reply.raise_for_status()
        yield reply.elapsed.total_seconds() * 1000
        if "next" not in reply.links:
            return
        url = reply.links["next"]["url"]


async def _timed(client: httpx.AsyncClient, url: str) -> float:
    reply = await client.get(url)
    reply.raise_for_status()
    return reply.elapsed.total_seconds() * 1000
