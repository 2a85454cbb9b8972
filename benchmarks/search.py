"""Search in a large library: the time until a page of results is ready."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg

from benchmarks.environment import Environment, connect
from benchmarks.report import Measurement, percentile, timed
from spotisync.core.search import Query
from spotisync.store import search
from spotisync.store.database import Connection, Database

SECTION = "Search: a page of {tracks:,} saved tracks"
QUERIES: Final[dict[str, dict[str, str]]] = {
    "all, the newest": {},
    "love": {"q": "love"},
    "cafe naive (accents)": {"q": "cafe naive"},
    "a rare number": {"q": "12345"},
    "no match": {"q": "zzzz"},
    "a (one letter)": {"q": "a"},
    "love, of one genre": {"q": "love", "genre": "rock"},
    "of one decade": {"decade": "1960"},
    "of one label": {"label": "Label 7"},
    "of one artist": {"artist": "artist5"},
    "in one playlist": {"playlist": "playlist5"},
    "all, by name": {"sort": "name"},
    "with removed ones": {"removed": "1"},
}


def measure(environment: Environment, tracks: int, repetitions: int) -> Iterator[Measurement]:
    url = environment.create_database()
    with connect(url) as connection:
        _fill(connection, tracks)
    database = Database(url)
    try:
        yield from _measurements(database, SECTION.format(tracks=tracks), repetitions)
    finally:
        database.close()


def _measurements(database: Database, section: str, repetitions: int) -> Iterator[Measurement]:
    for what, parameters in QUERIES.items():
        samples = _samples(database, search.search_page, parameters, repetitions)
        yield Measurement(section, what, "ms", samples, f"p95 {percentile(samples, 95):.0f} ms")
    for what in ("all, the newest", "love"):
        samples = _samples(database, search.count_facets, QUERIES[what], repetitions)
        yield Measurement(section, f"counts: {what}", "ms", samples, "requested after the page")


def _samples(
    database: Database, search_with: Callable[[Connection, Query], object], parameters: dict[str, str], repetitions: int
) -> tuple[float, ...]:
    query = Query.from_parameters({"account": "benchmark", **parameters})

    def once() -> object:
        with database.begin() as connection:
            return search_with(connection, query)

    once()
    return tuple(timed(once)[0] for _ in range(repetitions))


# ---- a library generated in the database: realistic names, few artists with many tracks, many with few ---------------

WORDS = """love night you the of me heart time blue fire song home river light dance dream baby world rain gold summer
    moon girl boy road city star wind sea sun black white red green dark long way back little big sweet lonely
    café naïve señorita über été coração żółty søndag björk sigur rós kraków straße déjà год ночь любовь дом 愛 夜
    東京 running waiting falling burning dancing crying singing flying walking talking dreaming breaking shining
    angel devil ghost shadow mirror window garden mountain ocean desert highway station kitchen cinema radio""".split()  # noqa: SIM905 (easier to read)
GENRES = ("rock", "indie rock", "jazz", "techno", "ambient", "hip hop", "soul", "fado", "bossa nova", "shoegaze")


def _fill(connection: psycopg.Connection[Any], tracks: int) -> None:
    """Create an account with this many saved tracks."""
    connection.execute("SELECT setseed(0.5)")
    values = {"words": WORDS, "genres": list(GENRES), "n": tracks, "artists": tracks // 5, "albums": tracks // 3}
    connection.execute(_RANDOM_WORDS)
    for statement in _STATEMENTS:
        connection.execute(statement, values)


_RANDOM_WORDS = """CREATE FUNCTION pg_temp.random_words(n int, words text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(words[1 + floor(random() * cardinality(words))::int], ' ') FROM generate_series(1, n) $$"""
_STATEMENTS = (
    "INSERT INTO accounts (spotify_user_id) VALUES ('benchmark')",
    """INSERT INTO artists (id, name, uri, genres, enrichment)
        SELECT 'artist' || i, pg_temp.random_words(2, %(words)s) || ' ' || i, 'spotify:artist:' || i,
            CASE WHEN i %% 4 > 0 THEN ARRAY[(%(genres)s::text[])[1 + i %% 10],
                'genre ' || floor(300 * random() * random())] END, 'full'
        FROM generate_series(1, %(artists)s) AS i""",
    """INSERT INTO albums (id, name, uri, released_on, label, image_url, enrichment)
        SELECT 'album' || i, initcap(pg_temp.random_words(3, %(words)s)), 'spotify:album:' || i,
            date '1950-01-01' + (27700 * sqrt(random()))::int, 'Label ' || floor(2000 * random() * random()),
            'https://i.scdn.co/image/' || i, 'full'
        FROM generate_series(1, %(albums)s) AS i""",
    """INSERT INTO tracks (id, name, uri, album_id, duration_ms, explicit)
        SELECT 'track' || i, initcap(pg_temp.random_words(3, %(words)s)), 'spotify:track:' || i,
            'album' || 1 + floor((%(albums)s - 1) * random())::int, 200000, false
        FROM generate_series(1, %(n)s) AS i""",
    """INSERT INTO track_artists (track_id, position, artist_id)
        SELECT 'track' || i, p, 'artist' || 1 + floor((%(artists)s - 1) * random() * random())::int
        FROM generate_series(1, %(n)s) AS i, generate_series(0, 1) AS p WHERE p = 0 OR i %% 3 = 0""",
    """INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at)
        SELECT a.id, 'track' || i, timestamptz '2012-01-01' + i * interval '70 minutes',
            CASE WHEN i %% 50 = 0 THEN now() END
        FROM generate_series(1, %(n)s) AS i, accounts a WHERE a.spotify_user_id = 'benchmark'""",
    """INSERT INTO playlists (id, name, collaborative, snapshot_id)
        SELECT 'playlist' || i, 'Playlist ' || i, false, 'x' FROM generate_series(1, %(n)s / 500) AS i""",
    """INSERT INTO account_playlists (account_id, playlist_id, position, items_status)
        SELECT a.id, 'playlist' || i, i, 'synced'
        FROM generate_series(1, %(n)s / 500) AS i, accounts a WHERE a.spotify_user_id = 'benchmark'""",
    """INSERT INTO playlist_items (playlist_id, position, kind, track_id)
        SELECT 'playlist' || 1 + i / 100, i %% 100, 'track', 'track' || 1 + floor(%(n)s * random())::int
        FROM generate_series(0, %(n)s / 5 - 1) AS i""",
    "ANALYZE",
)
