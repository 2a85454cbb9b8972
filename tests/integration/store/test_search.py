"""A search finds exactly the matching rows, in order, page by page, for any query."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from spotisync.core.search import PageCursor, Query, parse_cursor
from spotisync.store import migrate, schema, search
from spotisync.store.bulk import upsert
from spotisync.store.database import Database
from tests.integration.store.test_migrate import query
from tests.support.servers import as_superuser
from tests.support.store import Store

BEGAN = datetime(2020, 1, 1, tzinfo=UTC)
LETTERS = "aAbé Éñ%_ß愛ж'"
NAMES = st.none() | st.text(LETTERS, min_size=1, max_size=6)
GENRES, LABELS = ("rock", "fado"), ("Sub", "Pop")
YEARS = st.none() | st.sampled_from((1969, 1970, 1979, 1980))


@dataclass(frozen=True)
class Song:
    number: int
    name: str | None
    album: int | None
    artists: tuple[int, ...]
    minute: int
    removed: bool
    listed: bool


@dataclass(frozen=True)
class Shelf:
    artists: Sequence[tuple[str | None, tuple[str, ...] | None]]
    albums: Sequence[tuple[str | None, int | None, str | None]]
    songs: Sequence[Song]


@st.composite
def shelves(draw: st.DrawFn) -> Shelf:
    genres = st.none() | st.lists(st.sampled_from(GENRES), unique=True).map(tuple)
    artists = draw(st.lists(st.tuples(NAMES, genres), min_size=1, max_size=3))
    albums = draw(st.lists(st.tuples(NAMES, YEARS, st.none() | st.sampled_from(LABELS)), min_size=1, max_size=3))
    song = st.builds(
        Song,
        number=st.just(0),
        name=NAMES,
        album=st.none() | st.integers(0, len(albums) - 1),
        artists=st.lists(st.integers(0, len(artists) - 1), unique=True, max_size=2).map(tuple),
        minute=st.integers(0, 3),
        removed=st.booleans(),
        listed=st.booleans(),
    )
    songs = draw(st.lists(song, max_size=8))
    return Shelf(artists, albums, [replace(each, number=number) for number, each in enumerate(songs)])


QUERIES = st.builds(
    Query,
    text=st.just("") | st.text(LETTERS, max_size=3) | st.sampled_from(("ss", "e", "n ab")),
    artist=st.none() | st.sampled_from(("r0", "r1")),
    genre=st.none() | st.sampled_from(GENRES),
    label=st.none() | st.sampled_from(LABELS),
    decade=st.none() | st.sampled_from((1960, 1970)),
    playlist=st.none() | st.just("p"),
    removed=st.booleans(),
    sort=st.sampled_from(("added", "name")),
    account=st.none() | st.just("me"),
)


def put(store: Store, shelf: Shelf) -> None:
    for table in ("playlists", "saved_tracks", "tracks", "albums", "artists"):
        store.sql(f"DELETE FROM {table}")
    with store.database.begin() as connection:
        for table, rows in _rows(shelf, store.account_id).items():
            upsert(connection, schema.metadata.tables[table], rows)


def _rows(shelf: Shelf, account_id: int) -> dict[str, list[dict[str, Any]]]:
    return {
        "artists": [
            {"id": f"r{n}", "name": name, "uri": "", "genres": None if genres is None else list(genres)}
            for n, (name, genres) in enumerate(shelf.artists)
        ],
        "albums": [
            {"id": f"b{n}", "name": name, "uri": "", "released_on": f"{year}-06-01" if year else None, "label": label}
            for n, (name, year, label) in enumerate(shelf.albums)
        ],
        "tracks": [
            {"id": f"t{each.number}", "name": each.name, "uri": "", "album_id": _id("b", each.album)}
            for each in shelf.songs
        ],
        "track_artists": [
            {"track_id": f"t{each.number}", "position": position, "artist_id": f"r{artist}"}
            for each in shelf.songs
            for position, artist in enumerate(each.artists)
        ],
        "saved_tracks": [
            {
                "account_id": account_id,
                "track_id": f"t{each.number}",
                "added_at": BEGAN + timedelta(minutes=each.minute),
                "removed_at": BEGAN if each.removed else None,
            }
            for each in shelf.songs
        ],
        "playlists": [{"id": "p", "name": "P", "collaborative": False, "snapshot_id": ""}],
        "playlist_items": [
            {"playlist_id": "p", "position": each.number, "kind": "track", "track_id": f"t{each.number}"}
            for each in shelf.songs
            if each.listed
        ],
    }


def _id(letter: str, number: int | None) -> str | None:
    return None if number is None else f"{letter}{number}"


# ---- a reference implementation -------------------------------------------------------------------------------------


def plain(words: str) -> str:
    letters = [c for c in unicodedata.normalize("NFKD", words) if not "\u0300" <= c <= "\u036f" and c != "'"]
    return "".join(letters).lower().replace("ß", "ss")


def fits(shelf: Shelf, song: Song, asked: Query) -> bool:
    album = (None, None, None) if song.album is None else shelf.albums[song.album]
    artists = [shelf.artists[each] for each in song.artists]
    names = [plain(name) for name in (song.name, album[0], *(artist[0] for artist in artists)) if name is not None]
    return all(
        (
            all(any(word in name for name in names) for word in plain(asked.text).split()),
            asked.artist is None or asked.artist in {f"r{each}" for each in song.artists},
            asked.genre is None or any(asked.genre in (genres or ()) for _, genres in artists),
            asked.label is None or asked.label == album[2],
            asked.decade is None or (album[1] is not None and album[1] // 10 * 10 == asked.decade),
            asked.playlist is None or song.listed,
            asked.removed or not song.removed,
        )
    )


def naive(shelf: Shelf, asked: Query) -> list[str]:
    found = [song for song in shelf.songs if fits(shelf, song, asked)]
    if asked.sort == "added":
        found.sort(key=lambda song: (song.minute, song.number), reverse=True)
    else:
        found.sort(key=lambda song: (song.name is None, plain(song.name or ""), song.number))
    return [f"t{song.number}" for song in found]


def walked(database: Database, asked: Query, size: int) -> list[str]:
    """Read all pages."""
    found: list[str] = []
    while True:
        with database.begin() as connection:
            page = search.search_page(connection, asked, size)
        found += [item.id for item in page.items]
        if page.after is None:
            return found
        again = parse_cursor(str(page.after), asked.sort)
        assert again == page.after
        asked = replace(asked, after=again)


QUIET = [HealthCheck.function_scoped_fixture]
SEARCHES = {"shelf": shelves(), "queries": st.lists(QUERIES, min_size=3, max_size=6), "size": st.integers(1, 4)}


@settings(max_examples=15, suppress_health_check=QUIET)
@given(**SEARCHES)
def test_a_search_finds_what_a_scan_of_all_rows_finds(
    store: Store, shelf: Shelf, queries: list[Query], size: int
) -> None:
    compare(store, shelf, queries, size)


@pytest.mark.slow
@settings(max_examples=120, suppress_health_check=QUIET)
@given(**SEARCHES)
def test_many_searches_find_what_a_scan_of_all_rows_finds(
    store: Store, shelf: Shelf, queries: list[Query], size: int
) -> None:
    compare(store, shelf, queries, size)


def compare(store: Store, shelf: Shelf, queries: list[Query], size: int) -> None:
    put(store, shelf)
    for asked in queries:
        expected = naive(shelf, asked)
        assert walked(store.database, asked, size) == expected
        with store.database.begin() as connection:
            counted = search.count_facets(connection, asked)
        assert counted.total == len(expected)
        found = [song for song in shelf.songs if f"t{song.number}" in expected]
        for genre in GENRES:
            of_it = sum(any(genre in (shelf.artists[a][1] or ()) for a in song.artists) for song in found)
            assert {each.value: each.count for each in counted.by.get("genre", [])}.get(genre, 0) == of_it


# ---- other kinds ----------------------------------------------------------------------------------------------------


@pytest.fixture
def library(store: Store) -> Store:
    put(store, Shelf([("Sigur Rós", ("rock",)), (None, None)], [("Ágætis byrjun", 1999, "Sub")], []))
    store.sql("INSERT INTO album_artists (album_id, position, artist_id) VALUES ('b0', 0, 'r0')")
    store.sql(
        "INSERT INTO saved_albums (account_id, album_id, added_at) VALUES (:id, 'b0', now())", id=store.account_id
    )
    store.sql("INSERT INTO followed_artists SELECT :id, id FROM artists", id=store.account_id)
    store.sql(
        "INSERT INTO account_playlists (account_id, playlist_id, position) VALUES (:id, 'p', 0)", id=store.account_id
    )
    return store


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"kind": "albums", "q": "agaetis SIGUR", "decade": "1990s"}, ["b0"]),
        ({"kind": "albums", "label": "Sub", "genre": "rock", "artist": "r0", "sort": "name"}, ["b0"]),
        ({"kind": "albums", "q": "nothing"}, []),
        ({"kind": "artists"}, ["r0", "r1"]),
        ({"kind": "artists", "q": "ros", "genre": "rock"}, ["r0"]),
        ({"kind": "playlists", "q": "p"}, ["p"]),
        ({"kind": "playlists", "account": "nobody"}, []),
    ],
)
def test_finds_albums_artists_and_playlists(library: Store, asked: dict[str, str], found: list[str]) -> None:
    assert walked(library.database, Query.from_parameters(asked), 1) == found
    with library.database.begin() as connection:
        assert search.count_facets(connection, Query.from_parameters(asked)).total == len(found)


def test_an_item_contains_all_known_fields(library: Store) -> None:
    with library.database.begin() as connection:
        (album,) = search.search_page(connection, Query.from_parameters({"kind": "albums"})).items
        (album_again,) = search.count_facets(connection, Query.from_parameters({"kind": "albums"})).by["decade"]
        playlist = search.find_playlist(connection, "p")
        found = [search.find_playlist_by_name(connection, account, "p") for account in ("me", None, "nobody")]
    assert (album.artists, album.label, album.account) == ((search.NamedId("r0", "Sigur Rós"),), "Sub", "me")
    assert album_again == search.Facet("1990", "1990s", 1)
    assert playlist == search.NamedId("p", "P")
    assert found == ["p", "p", None]


# ---- unusual queries ------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.sampled_from(("q", "account", "artist", "genre", "label", "decade", "playlist", "removed", "sort", "kind")),
        st.text(max_size=300)
        | st.sampled_from(("tracks", "albums", "artists", "playlists", "name", "1", "1990s", "0")),
    ),
    st.text(max_size=60)
    | st.builds(str, st.builds(PageCursor, st.none() | st.text(max_size=9), st.integers(), st.text())),
)
@settings(max_examples=20, suppress_health_check=QUIET)
def test_any_query_is_answered(store: Store, asked: dict[str, str], after: str) -> None:
    parsed = Query.from_parameters({**asked, "after": after})
    with store.database.begin() as connection:
        assert search.search_page(connection, parsed).items == []
        assert search.count_facets(connection, parsed).total == 0


@pytest.mark.parametrize("value", ["Domino ", " Domino", "\u00a0", "x" * 201, "A  B", "50% off_"])
@pytest.mark.parametrize("name", ["genre", "label"])
def test_a_facet_leads_to_the_rows_that_it_counts(store: Store, name: str, value: str) -> None:
    for statement in (
        "INSERT INTO artists (id, name, uri, genres) VALUES ('a', 'a', 'u', ARRAY[CAST(:value AS text)])",
        "INSERT INTO albums (id, name, uri, label) VALUES ('b', 'b', 'u', :value)",
        "INSERT INTO tracks (id, name, uri, album_id) VALUES ('t', 't', 'u', 'b')",
        "INSERT INTO track_artists VALUES ('t', 0, 'a')",
        "INSERT INTO saved_tracks (account_id, track_id, added_at) SELECT id, 't', now() FROM accounts",
    ):
        store.sql(statement, **({"value": value} if ":value" in statement else {}))
    with store.database.begin() as connection:
        (facet,) = search.count_facets(connection, Query()).by[name]
        asked = Query.from_parameters(Query().parameters(**{name: facet.value}))
        assert [each.id for each in search.search_page(connection, asked).items] == ["t"]


@given(QUERIES)
def test_a_query_survives_a_round_trip_through_its_address(asked: Query) -> None:
    clean = Query.from_parameters({"q": asked.text}).text
    assert Query.from_parameters(asked.parameters()) == replace(asked, text=clean)


@pytest.mark.parametrize("nonsense", ["", "x", "W10", "bnVsbA", "WzEsMiwzXQ", "WyJ4IiwxLCJ5Il0", "W" * 5000, "é"])
def test_an_invalid_cursor_means_the_first_page(nonsense: str) -> None:
    assert parse_cursor(nonsense, "added") is None


@pytest.mark.parametrize("table", ["tracks", "albums", "artists"])
def test_an_index_finds_a_part_of_a_name(store: Store, table: str) -> None:
    with store.database.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"EXPLAIN SELECT id FROM {table} WHERE search LIKE '%night%'")).scalars().all()
    assert f"ix_{table}_search" in "\n".join(plan)


# ---- without trigrams -----------------------------------------------------------------------------------------------


def test_a_server_without_trigrams_finds_the_same(empty_database_url: str) -> None:
    """The user may not create the extension, like on a managed server."""
    query(as_superuser(empty_database_url), "DROP ROLE IF EXISTS guest")
    query(as_superuser(empty_database_url), "CREATE ROLE guest LOGIN")
    query(as_superuser(empty_database_url), "ALTER SCHEMA public OWNER TO guest")
    url = empty_database_url.replace("//spotisync@", "//guest@")
    try:
        migrate.upgrade(url)
        assert query(url, "SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'") == []
        query(url, "INSERT INTO artists (id, name, uri) VALUES ('r', 'Björk', '')")
        query(url, "INSERT INTO accounts (spotify_user_id) VALUES ('me')")
        query(url, "INSERT INTO followed_artists SELECT id, 'r' FROM accounts")
        database = Database(url)
        assert walked(database, Query.from_parameters({"kind": "artists", "q": "bjork"}), 1) == ["r"]
        database.close()
        migrate.downgrade(url, "base")
    finally:
        query(as_superuser(empty_database_url), "DROP OWNED BY guest CASCADE")
        query(as_superuser(empty_database_url), "DROP ROLE guest")
