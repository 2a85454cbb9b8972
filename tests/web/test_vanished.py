"""The page of vanished music, without JavaScript."""

from html import unescape

from tests.support.store import Store
from tests.web.conftest import TestClient

PAGE = {"Accept": "text/html"}


def add_vanished(store: Store) -> None:
    """A greyed-out track with a twin, an unknown row of a playlist, a track that may be hidden, and a removed one."""
    for id_ in "abcd":
        store.sql("INSERT INTO tracks (id, name, uri, isrc) VALUES (:id, 'song ' || :id, 'u', 'one')", id=id_)
    for id_ in "acd":
        store.sql("INSERT INTO saved_tracks VALUES (:me, :id, now())", me=store.account_id, id=id_)
    store.sql("UPDATE tracks SET is_playable = true, isrc = CASE WHEN id < 'c' THEN 'one' END WHERE id <> 'a'")
    store.sql("INSERT INTO unplayable_tracks VALUES (:me, 'a', '2026-03-01 12:00Z', 'market')", me=store.account_id)
    store.sql("UPDATE saved_tracks SET hidden_since = now() WHERE track_id = 'c'")
    store.sql("UPDATE saved_tracks SET removed_at = now() WHERE track_id = 'd'")
    store.sql("INSERT INTO playlists (id, name, collaborative, snapshot_id) VALUES ('p', '<Mix>', false, 's')")
    store.sql(
        "INSERT INTO account_playlists (account_id, playlist_id, position) VALUES (:me, 'p', 0)", me=store.account_id
    )
    for position in (3, 8):
        store.sql(
            "INSERT INTO playlist_items (playlist_id, position, kind) VALUES ('p', :position, 'unavailable')",
            position=position,
        )


def test_lists_by_reason_what_has_vanished_and_not_what_was_removed(client: TestClient, store: Store) -> None:
    add_vanished(store)
    html = client.get("/vanished", headers=PAGE).text
    assert '<a href="/stats" aria-current="page">' in html
    assert "<Mix>" not in html
    page = unescape(html)
    titles = ("Greyed out", "Empty rows of playlists", "Perhaps hidden")
    assert sorted(titles, key=page.index) == list(titles)
    assert '<a href="/tracks/a" dir="auto">song a</a>' in page
    assert 'Still plays: <a href="/tracks/b" dir="auto">song b</a>' in page
    assert "1 Mar 2026" in page
    assert "2 tracks whose name is not known" in page
    assert 'Empty rows of playlists</h2><span class="soft small">2</span>' in page
    assert '<a href="/playlists/p" dir="auto"><Mix></a>, no. 4' in page
    assert "song d" not in page
    assert " style=" not in html


def test_says_that_nothing_has_vanished(client: TestClient, store: Store) -> None:
    assert "Nothing has vanished" in client.get("/vanished", headers=PAGE).text
    other = store.account("other")
    add_vanished(store)
    assert "Greyed out" in client.get("/vanished?account=me", headers=PAGE).text
    assert "account=me" in client.get("/vanished?account=me", headers=PAGE).text
    assert "Nothing has vanished" in client.get("/vanished?account=other", headers=PAGE).text
    store.sql("DELETE FROM accounts WHERE id = :id", id=other)


def test_a_page_without_accounts_says_so(client: TestClient, store: Store) -> None:
    store.sql("DELETE FROM accounts")
    assert "No account yet" in client.get("/vanished", headers=PAGE).text
