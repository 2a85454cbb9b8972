"""The library page without a browser: rows, links and messages for empty results."""

import re
import warnings
from collections.abc import Callable, Iterator
from html import unescape

import pytest

from spotisync.settings import Settings
from spotisync.store.database import Database
from spotisync.web import create_app
from tests.support.store import Store

with warnings.catch_warnings():
    # Starlette recommends httpx2, which behaves the same.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

PART = {"HX-Request": "true"}
SAVED = 60
ROWS = """
    INSERT INTO artists (id, name, uri, genres) VALUES ('r1', 'Björk', 'spotify:artist:r1', '{art pop}'),
        ('r2', '<b>Bold</b>', 'spotify:artist:r2', NULL);
    INSERT INTO albums (id, name, uri, released_on, label, image_url)
        VALUES ('b1', 'Homogenic', 'spotify:album:b1', '1997-09-22', 'One Little', 'https://i.scdn.co/image/b1');
    INSERT INTO tracks (id, name, uri, album_id)
        SELECT 't' || n, 'Jóga ' || n, 'spotify:track:t' || n, CASE WHEN n % 2 = 0 THEN 'b1' END
        FROM generate_series(1, 60) AS n;
    INSERT INTO track_artists SELECT 't' || n, 0, CASE WHEN n = 60 THEN 'r2' ELSE 'r1' END
        FROM generate_series(1, 60) AS n;
    INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at)
        SELECT a.id, 't' || n, timestamptz '2020-01-01' + n * interval '1 day', CASE WHEN n = 1 THEN now() END
        FROM accounts a, generate_series(1, 60) AS n WHERE a.spotify_user_id = 'me';
    INSERT INTO playlists (id, name, collaborative, snapshot_id) VALUES ('p1', 'Mornings', false, 'x');
    INSERT INTO account_playlists (account_id, playlist_id, position) SELECT id, 'p1', 0 FROM accounts;
    INSERT INTO playlist_items (playlist_id, position, kind, track_id) VALUES ('p1', 0, 'track', 't7')
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def empty(make_settings: Callable[..., Settings]) -> Iterator[TestClient]:
    app = create_app(make_settings("http://127.0.0.1:1", timezone="UTC"))
    yield TestClient(app, base_url="http://127.0.0.1:8420", follow_redirects=False)
    app.state.context.close()


@pytest.fixture
def client(empty: TestClient, database: Database) -> TestClient:
    store = Store(database)
    store.account()
    for statement in ROWS.split(";"):
        store.sql(statement)
    return empty


def names(page: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'class="name"><a [^>]*>([^<]*)</a>', page)]


def test_dates_are_those_of_the_time_zone(client: TestClient, make_settings: Callable[..., Settings]) -> None:
    assert client.get("/library?q=60").text.count(">2020-03-01</time>") == 1
    app = create_app(make_settings("http://127.0.0.1:1", timezone="Pacific/Pago_Pago"))
    far = TestClient(app, base_url="http://127.0.0.1:8420")
    assert far.get("/library?q=60").text.count(">2020-02-29</time>") == 1
    app.state.context.close()


def test_lists_the_newest_first_with_covers_links_and_a_next_page(client: TestClient) -> None:
    page = client.get("/library").text
    assert names(page) == [f"Jóga {n}" for n in range(SAVED, 10, -1)]
    assert '<img src="http://127.0.0.1:1/image/b1" width="56" height="56" loading="lazy"' in page
    assert 'alt="Cover of Homogenic"' in page
    assert '<p class="name"><a href="/tracks/t60" dir="auto"' in page
    assert '<a href="/albums/b1" dir="auto">Homogenic</a>' in page
    assert 'href="spotify:track:t60"' in page
    assert "&lt;b&gt;Bold&lt;/b&gt;" in page
    (plain,) = re.findall(r'rel="next" href="([^"]+)"', page)
    (quick,) = re.findall(r'hx-get="(/library/more[^"]+)"', page)
    rest = [f"Jóga {n}" for n in range(10, 1, -1)]
    assert names(client.get(unescape(plain)).text) == rest
    assert names(client.get(unescape(quick), headers=PART).text) == rest


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"q": "JOGA 60"}, ["Jóga 60"]),
        ({"q": "bjork 12"}, ["Jóga 12"]),
        ({"q": "joga", "playlist": "p1"}, ["Jóga 7"]),
        ({"artist": "r2"}, ["Jóga 60"]),
        ({"decade": "1990s", "q": "58"}, ["Jóga 58"]),
        ({"q": "joga 1", "removed": "1", "sort": "name", "genre": "art pop"}, ["Jóga 1", "Jóga 10"]),
        ({"kind": "playlists"}, ["Mornings"]),
    ],
)
def test_a_filter_is_a_query_parameter(client: TestClient, asked: dict[str, str], found: list[str]) -> None:
    assert names(client.get("/library", params=asked).text)[: len(found)] == found


def test_a_script_gets_the_changed_part_and_the_address_to_push(client: TestClient) -> None:
    found = client.get("/library", params={"q": "joga 60", "label": "", "sort": ""}, headers=PART)
    assert names(found.text) == ["Jóga 60"]
    assert "<html" not in found.text
    assert found.headers["HX-Push-Url"] == "/library?q=joga+60&account=me"
    again = client.get(found.headers["HX-Push-Url"], headers={**PART, "HX-History-Restore-Request": "true"})
    assert "<html" in again.text
    assert found.headers["Vary"] == "HX-Request"


def test_lists_facets_to_narrow_the_results(client: TestClient) -> None:
    counted = client.get("/library/facets", params={"label": "One Little"}, headers=PART).text
    assert "30 saved tracks" in counted
    assert re.search(r'href="/library\?[^"]*genre=art\+pop[^"]*label=One\+Little', counted)
    whole = client.get("/library", params={"facets": "1"}).text
    assert ("59 saved tracks" in whole, "1990s" in whole) == (True, True)


def test_an_active_filter_can_be_removed(client: TestClient) -> None:
    page = client.get("/library", params={"artist": "r1", "genre": "art pop"}).text
    chips = re.findall(r'class="chip" href="([^"]+)"', page)
    assert [unescape(each) for each in chips] == ["/library?account=me&genre=art+pop", "/library?account=me&artist=r1"]
    assert re.search(">artist</span> <bdi [^>]*>Björk<", page)


def test_a_playlist_is_found_by_its_name(client: TestClient, database: Database) -> None:
    store = Store(database)
    store.sql(
        """INSERT INTO playlists (id, name, collaborative, snapshot_id)
        SELECT 'q' || n, 'Twins ', false, '' FROM generate_series(1, 2) n
        UNION ALL SELECT 'long', repeat('long ', 100), false, ''
        UNION ALL SELECT 'z' || n, 'Zither ' || n, false, '' FROM generate_series(1, 1000) n"""
    )
    store.sql(
        """INSERT INTO account_playlists (account_id, playlist_id, position)
        SELECT a.id, p.id, 1 FROM accounts a, playlists p WHERE p.id <> 'p1'"""
    )
    assert client.get("/library").text.count("<option") < 30

    def suggest(text: str) -> list[str]:
        shown = client.get("/library/playlists", params={"in": text}, headers=PART).text
        return re.findall('<option value="([^"]*)">', shown)

    def find(name: str) -> str | None:
        url = client.get("/library", params={"in": name}, headers=PART).headers["HX-Push-Url"]
        return url.partition("playlist=")[2] or None

    assert (suggest("ZITHER 9")[0], len(suggest("ZITHER 9"))) == ("Zither 9", 21)
    assert suggest("zither 997") == ["Zither 997"]
    assert suggest("twins") == ["Twins (q1)", "Twins (q2)"]
    found = [find(each) for each in (*suggest("twins"), *suggest("long"), "Zither 7", "zither 7 ", "morn")]
    assert found == ["q1", "q2", "long", "z7", "z7", "p1"]
    assert [find(each) for each in ("zither", "Nothing (nothing)", "\0")] == [None, None, None]
    unknown = client.get("/library", params={"in": "zither"}).text
    assert ("No playlist is called “zither”." in unknown, names(unknown)) == (True, [])
    assert 'value="zither"' in unknown
    assert "0 saved tracks" in client.get("/library/facets", params={"in": "zither"}, headers=PART).text
    chosen = client.get("/library", params={"in": "mornings", "playlist": "z7"}).text
    assert names(chosen) == ["Jóga 7"]
    assert re.search(">playlist</span> <bdi [^>]*>Mornings<", chosen)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"q": "nothing like it"}, "Include removed items"),
        ({"q": "nothing like it", "removed": "1"}, "Clear all filters"),
        ({"account": "<nobody>"}, "Unknown account &lt;nobody&gt;."),
        ({"kind": "albums"}, "A full sync reads them"),
    ],
)
def test_an_empty_result_says_what_to_do(client: TestClient, asked: dict[str, str], words: str) -> None:
    page = client.get("/library", params=asked)
    assert (page.status_code, words in page.text) == (200, True), page.text


def test_asks_to_connect_an_account_when_there_is_none(empty: TestClient) -> None:
    assert "Connect your Spotify account" in empty.get("/library").text


@pytest.mark.parametrize("path", ["/library", "/library/more", "/library/facets", "/library/playlists"])
def test_any_query_string_is_answered(client: TestClient, path: str) -> None:
    for asked in (
        "q=%00&account=%00&artist=%ff&playlist=%00",
        f"q={'x' * 10_000}&decade={'9' * 500}",
        "q='%22;--&sort=name&after=W10&kind=albums",
        "kind=nonsense&sort=nonsense&removed=nonsense&decade=-1&after=%F0%9F",
        "in=%00&playlist=p1",
        "in=%ED%A0%80%25 (%FF)",
        "q=%ED%A0%80&genre={}&label=%25",
    ):
        assert client.get(f"{path}?{asked}").status_code == 200, asked
