"""A library of many tracks is searched: how long until a page of it is there?"""

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks import shelf
from benchmarks.place import Place, connected
from benchmarks.rows import Row, percentile, timed
from spotisync.core.search import Query
from spotisync.store import search
from spotisync.store.database import Connection, Database

SECTION = "Search: a page of {tracks:,} saved tracks"
QUESTIONS: Final[dict[str, dict[str, str]]] = {
    "all, the newest": {},
    "love": {"q": "love"},
    "cafe naive (accents)": {"q": "cafe naive"},
    "a rare number": {"q": "12345"},
    "nothing like it": {"q": "zzzz"},
    "a (one letter)": {"q": "a"},
    "love, of one genre": {"q": "love", "genre": "rock"},
    "of one decade": {"decade": "1960"},
    "of one label": {"label": "Label 7"},
    "of one artist": {"artist": "artist5"},
    "in one playlist": {"playlist": "playlist5"},
    "all, by name": {"sort": "name"},
    "with removed ones": {"removed": "1"},
}


def measure(here: Place, tracks: int, repetitions: int) -> Iterator[Row]:
    url = here.fresh()
    with connected(url) as connection:
        shelf.fill(connection, tracks)
    database = Database(url)
    try:
        yield from _rows(database, SECTION.format(tracks=tracks), repetitions)
    finally:
        database.close()


def _rows(database: Database, section: str, repetitions: int) -> Iterator[Row]:
    for what, given in QUESTIONS.items():
        samples = _samples(database, search.search_page, given, repetitions)
        yield Row(section, what, "ms", samples, f"p95 {percentile(samples, 95):.0f} ms")
    for what in ("all, the newest", "love"):
        samples = _samples(database, search.count_facets, QUESTIONS[what], repetitions)
        yield Row(section, f"counts: {what}", "ms", samples, "asked for apart, after the page")


def _samples(
    database: Database, ask: Callable[[Connection, Query], object], given: dict[str, str], repetitions: int
) -> tuple[float, ...]:
    question = Query.from_parameters({"account": "shelf", **given})

    def once() -> object:
        with database.begin() as connection:
            return ask(connection, question)

    once()
    return tuple(timed(once)[0] for _ in range(repetitions))
