"""Any address of a page is answered in words: with the page, or with what is wrong. Never with a server error."""

from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.store import Store
from tests.web.conftest import TestClient

HOSTILE = [
    "", "0", "-1", "1e9", "9" * 19, "9" * 5_000, "\0", "a\0b", "\u202egnp.exe", "\ud800", "%", "%00", "../..",
    "'--", "<b>", "me", "p1", "[" * 2_000, "x" * 20_000, "0001-01-01", "9999-12-31", "0001-01-01T00:00+14:00",
    "9999-12-31T23:59-12:00", "2026-02-30", "2026-05-31T18:00:00.123456789Z", "\u0663333-01-01", "all", "4w",
]  # fmt: skip
VALUES = st.sampled_from(HOSTILE) | st.text(max_size=20) | st.integers().map(str) | st.datetimes().map(str)
PATHS = {
    "/": "account before", "/fragments/status": "account", "/fragments/history": "account before",
    "/changes": "account before", "/stats": "account range", "/stats/library": "account",
    "/budget": "account", "/accounts": "account", "/login": "next",
    "/library": "account after artist decade genre in kind label playlist q removed sort facets",
    "/library/more": "account after kind q sort", "/library/facets": "account kind q in",
    "/library/playlists": "account in",
    "/tracks/{}": "account", "/albums/{}": "account", "/artists/{}": "account",
    "/playlists/{}": "account version since at first",
    "/runs/{}": "before after", "/runs/{}/fragment": "before", "/accounts/callback": "code state error",
    "/api/sync/status": "account", "/api/sync/{}": "account", "/api/sync/history": "account before limit",
    "/api/budget": "account",
}  # fmt: skip
KNOWN = {"/tracks/{}": "t1", "/albums/{}": "l1", "/artists/{}": "a1", "/playlists/{}": "p1"}
ROWS = """
    INSERT INTO artists (id, name, uri) VALUES ('a1', 'Björk', 'spotify:artist:a1');
    INSERT INTO albums (id, name, uri) VALUES ('l1', 'Homogenic', 'spotify:album:l1');
    INSERT INTO tracks (id, name, uri, album_id) VALUES ('t1', E'\\u202e<b>', 'spotify:track:t1', 'l1');
    INSERT INTO track_artists VALUES ('t1', 0, 'a1');
    INSERT INTO saved_tracks (account_id, track_id, added_at) SELECT id, 't1', now() FROM accounts;
    INSERT INTO play_history (account_id, track_id, played_at, source) SELECT id, 't1', now(), 'recent' FROM accounts;
    INSERT INTO playlists (id, name, collaborative, snapshot_id) VALUES ('p1', 'Mornings', false, 'x');
    INSERT INTO account_playlists (account_id, playlist_id, position) SELECT id, 'p1', 0 FROM accounts;
    INSERT INTO playlist_items (playlist_id, position, kind, track_id) VALUES ('p1', 0, 'track', 't1');
    INSERT INTO playlist_versions (playlist_id, read_at, snapshot_id, items)
        VALUES ('p1', now() - interval '1 day', 'w', '[]'),
            ('p1', now(), 'x', '[[0, "track", "t1", null, null, null, null]]')
"""


def quoted(value: str) -> str:
    return quote(value.encode("utf-8", "surrogatepass"), safe="")


@pytest.fixture
def full(client: TestClient, store: Store) -> TestClient:
    """A client of a library with one item of each kind, a playlist of two versions, a run and a cooldown."""
    for statement in ROWS.split(";"):
        store.sql(statement)
    store.run(status="success", completed_at="now()")
    store.block("library")
    return client


def check(client: TestClient, path: str, asked: dict[str, str], headers: dict[str, str]) -> None:
    url = f"{path}?{'&'.join(f'{name}={quoted(value)}' for name, value in asked.items())}"
    answer = client.get(url, headers=headers)
    assert answer.status_code in {200, 303, 307, 400, 403, 404, 405, 409, 422}, (
        answer.status_code,
        url[:300],
        answer.text[:300],
    )
    assert answer.status_code == 200 or answer.text or answer.has_redirect_location, url[:300]


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, str], dict[str, str]]:
    path = draw(st.sampled_from([*PATHS]))
    item = draw(st.just(KNOWN.get(path, "1")) | VALUES.map(quoted))
    asked = draw(st.dictionaries(st.sampled_from(PATHS[path].split()), VALUES, max_size=4))
    headers = draw(st.sampled_from([{}, {"Accept": "text/html"}, {"HX-Request": "true"}]))
    return path.format(item), asked, headers


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(cases())
def test_any_address_is_answered_in_words(full: TestClient, case: Any) -> None:
    check(full, *case)


@pytest.mark.slow
@settings(max_examples=2_000, suppress_health_check=list(HealthCheck))
@given(cases())
def test_thousands_of_addresses_are_answered_in_words(full: TestClient, case: Any) -> None:
    check(full, *case)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_each_parameter_of_a_page_takes_any_value(full: TestClient, path: str) -> None:
    for name, value in product(PATHS[path].split(), HOSTILE):
        check(full, path.format(KNOWN.get(path, "1")), {name: value}, {"Accept": "text/html"})


BEYOND = [
    "0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00", "2026-02-30", "now", "\u0663333-01-01", "{x}", "{",
    "{docs:>999}",
]  # fmt: skip


@pytest.mark.parametrize("at", BEYOND)
def test_a_time_beyond_the_calendar_is_refused(full: TestClient, at: str) -> None:
    answer = full.get("/playlists/p1", params={"at": at})
    assert (answer.status_code, "is neither a date like" in answer.text) == (422, True)


def test_a_play_of_unknown_length_is_counted(full: TestClient) -> None:
    for chosen in ("4w", "all"):
        assert full.get("/stats", params={"range": chosen}).status_code == 200
