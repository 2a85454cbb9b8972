"""Every page of a large library with years of plays: through the whole application but without the network."""

import asyncio
from collections.abc import Iterator
from typing import Final

import httpx

from benchmarks.environment import Environment, connect
from benchmarks.report import Measurement, percentile

SECTION = "Pages, {plays:,} plays of {tracks:,} tracks"
PAGES: Final = {
    "status": "/",
    "library": "/library",
    "listening, 4 weeks": "/stats?range=4w",
    "listening, 6 months": "/stats?range=6m",
    "listening, 12 months": "/stats?range=1y",
    "listening, all": "/stats?range=all",
    "library in numbers": "/stats/library",
    "a track": "/tracks/t0",
    "an album": "/albums/b0",
    "an artist": "/artists/r0",
    "a playlist": "/playlists/p0",
    "... a year ago": "/playlists/p0?version=2",
    "changes": "/changes",
    "a run": "/runs/1",
    "budget": "/budget",
    "accounts": "/accounts",
}
# The plays cover ten years; a tenth of the tracks have half of them.
ROWS = """
    INSERT INTO accounts (spotify_user_id) VALUES ('benchmark');
    INSERT INTO artists (id, name, uri, enrichment, genres)
        SELECT 'r' || n, 'Artist ' || n, 'spotify:artist:r' || n, 'full',
            ARRAY['genre ' || n % 200, 'genre ' || n % 77, 'style ' || n % 13]
        FROM generate_series(0, %(tracks)s / 5 - 1) n;
    INSERT INTO albums (id, name, uri, enrichment, label, released_on)
        SELECT 'b' || n, 'Album ' || n, 'spotify:album:b' || n, 'full', 'label ' || n % 3000, date '1960-01-01' + n
        FROM generate_series(0, %(tracks)s / 5 - 1) n;
    INSERT INTO album_artists SELECT 'b' || n, 0, 'r' || n FROM generate_series(0, %(tracks)s / 5 - 1) n;
    INSERT INTO tracks (id, name, uri, album_id, duration_ms)
        SELECT 't' || n, 'Track ' || n, 'spotify:track:t' || n, 'b' || n %% (%(tracks)s / 5), 200000
        FROM generate_series(0, %(tracks)s - 1) n;
    INSERT INTO track_artists
        SELECT 't' || n, p, 'r' || (n + p * n / 7) %% (%(tracks)s / 5) FROM generate_series(0, %(tracks)s - 1) n,
            generate_series(0, CASE WHEN n % 5 = 0 THEN 1 ELSE 0 END) p;
    INSERT INTO sync_history (account_id, sync_type, status, trigger, started_at, completed_at, changes)
        SELECT 1, CASE WHEN n % 50 = 0 THEN 'full' ELSE 'incremental' END, 'success', 'beat',
            now() - (3000 - n) * interval '1 day', now() - (3000 - n) * interval '1 day' + interval '9 seconds',
            CASE WHEN n % 3 = 0 THEN '{"added": 1}'::jsonb END
        FROM generate_series(1, 3000) n;
    INSERT INTO sync_state (sync_id, state_key, entity_type, status, items_processed, batches, busy_seconds)
        SELECT r.id, 'sync_' || r.id || '_' || p, p, 'success', 2, 1, 0.5
        FROM sync_history r, unnest(ARRAY['tracks', 'artists', 'albums', 'playlists']) p;
    INSERT INTO run_events (sync_id, at, kind, phase, seq, attempt, seconds, items, calls)
        SELECT 1, r.started_at + n * interval '10 ms', 'batch', 'tracks', n, 1, 0.01, 200, 4
        FROM generate_series(1, 500) n, sync_history r WHERE r.id = 1;
    INSERT INTO saved_tracks (account_id, track_id, added_at)
        SELECT 1, 't' || n, now() - n * interval '20 minutes' FROM generate_series(0, %(tracks)s - 1) n;
    INSERT INTO playlists (id, name, collaborative, snapshot_id)
        SELECT 'p' || n, 'Playlist ' || n, false, 'x' FROM generate_series(0, 499) n;
    INSERT INTO account_playlists (account_id, playlist_id, position)
        SELECT 1, 'p' || n, n FROM generate_series(0, 499) n;
    INSERT INTO playlist_items (playlist_id, position, kind, track_id)
        SELECT 'p' || n %% 500, n / 500, 'track', 't' || n %% %(tracks)s FROM generate_series(0, 99999) n;
    INSERT INTO playlist_versions (playlist_id, read_at, snapshot_id, items)
        SELECT 'p0', now() - (100 - v) * interval '7 days', v, (
            SELECT jsonb_agg(jsonb_build_array(n, 'track', 't' || (n + v) %% %(tracks)s, NULL, NULL, 1700000000 + n))
            FROM generate_series(0, 1999) n)
        FROM generate_series(1, 100) v;
    INSERT INTO play_history (account_id, played_at, track_id, source, ms_played)
        SELECT 1, now() - n * interval '315 seconds', 't' || floor(%(tracks)s * power(random(), 3)), 'import',
            200000 * random()
        FROM generate_series(1, %(plays)s) n;
    VACUUM ANALYZE"""


def fill(url: str, tracks: int, plays: int) -> None:
    with connect(url) as connection:
        connection.execute("SELECT setseed(0.5)")
        for statement in ROWS.split(";"):
            text = statement.replace("%(tracks)s", str(tracks)).replace("%(plays)s", str(plays)).replace("%%", "%")
            connection.execute(text.encode())


def measure(environment: Environment, tracks: int, plays: int, repetitions: int) -> Iterator[Measurement]:
    fill(environment.create_database(), tracks, plays)
    yield from asyncio.run(_measurements(SECTION.format(plays=plays, tracks=tracks), repetitions))


async def _measurements(section: str, repetitions: int) -> list[Measurement]:
    from spotisync.settings import settings  # the application loads Celery's configuration
    from spotisync.web import create_app

    app = create_app(settings())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        samples = {what: [await _timed(client, url) for _ in range(repetitions)] for what, url in PAGES.items()}
    app.state.context.close()
    return [
        Measurement(section, what, "ms", tuple(each), f"p95 {percentile(each, 95):.0f} ms")
        for what, each in samples.items()
    ]


async def _timed(client: httpx.AsyncClient, url: str) -> float:
    reply = await client.get(url)
    reply.raise_for_status()
    return reply.elapsed.total_seconds() * 1000
