"""The pages of one track, album, artist and playlist, without JavaScript."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest

from tests.support.store import Store
from tests.web.conftest import TestClient

PAGE = {"Accept": "text/html"}
ROWS = """
    INSERT INTO artists (id, name, uri, genres, followers) VALUES ('a1', 'Björk', 'spotify:artist:a1', '{art pop}', 1),
        ('a2', '<i>Guest</i>', 'spotify:artist:a2', NULL, NULL);
    INSERT INTO followed_artists (account_id, artist_id)
        SELECT id, 'a1' FROM accounts WHERE spotify_user_id = 'me';
    INSERT INTO albums (id, name, uri, released_on, label, total_tracks)
        VALUES ('b1', 'Homogenic', 'spotify:album:b1', '1997-09-22', 'One <Little>', 10);
    INSERT INTO album_artists VALUES ('b1', 0, 'a1');
    INSERT INTO tracks (id, name, uri, album_id, duration_ms, disc_number, track_number, isrc)
        SELECT 't' || n, CASE n WHEN 2 THEN '<b>Jóga</b>' ELSE 'Track ' || n END, 'spotify:track:t' || n, 'b1',
            60000 * n + 1000, 1, 4 - n, 'ISRC' || n FROM generate_series(1, 3) n;
    INSERT INTO track_artists SELECT 't' || n, 0, 'a1' FROM generate_series(1, 3) n;
    INSERT INTO track_artists VALUES ('t2', 1, 'a2');
    INSERT INTO saved_tracks (account_id, track_id, added_at)
        SELECT id, 't2', timestamptz '2026-03-01 12:00+00' FROM accounts WHERE spotify_user_id = 'me';
    INSERT INTO play_history (account_id, track_id, played_at, ms_played, source)
        SELECT id, 't' || (1 + n % 2), timestamptz '2026-05-01 23:30+00' + n * interval '1 day',
            CASE WHEN n % 5 > 0 THEN 20000 * n END, 'import'
        FROM accounts, generate_series(0, 29) n WHERE spotify_user_id = 'me';
    INSERT INTO playlists (id, name, description, collaborative, snapshot_id, owner_name, total_items)
        VALUES ('p1', 'Mornings', '<u>early</u>', false, 'x', 'Me & co', 3),
            ('p2', 'Empty', NULL, true, 'x', NULL, NULL);
    INSERT INTO account_playlists (account_id, playlist_id, position)
        SELECT id, p, 0 FROM accounts, unnest(ARRAY['p1', 'p2']) p WHERE spotify_user_id = 'me';
    INSERT INTO playlist_items (playlist_id, position, kind, track_id, added_at)
        VALUES ('p1', 0, 'track', 't2', '2026-06-01'), ('p1', 2, 'track', 't2', NULL);
    INSERT INTO playlist_versions (playlist_id, read_at, snapshot_id, items) VALUES
        ('p1', '2026-05-30 22:30+00', 'v', '[[0, "track", "t1", null, null, null, null]]'),
        ('p1', '2026-05-31 22:30+00', 'w', '[[0, "track", "t1", null, null, null, null],
            [1, "local", null, "spotify:local:x", "<s>Home", 1764000000, null]]'),
        ('p1', '2026-06-01 10:00+00', 'x', '[[0, "track", "t2", null, null, null, null],
            [1, "unavailable", null, null, null, null, null], [2, "track", "t2", null, null, null, null]]')
"""


@pytest.fixture
def plain(make_client: Callable[..., TestClient], store: Store) -> Callable[[str], str]:
    """Get a page as text, in the time zone of Berlin."""
    for statement in ROWS.split(";"):
        store.sql(statement)
    client = make_client(timezone="Europe/Berlin")

    def get(path: str) -> str:
        answer = client.get(path, headers=PAGE)
        assert answer.status_code == 200, answer.text
        assert not re.search(r" style=|<[bisu]>", answer.text)
        return str(answer.text)

    return get


def numbers(html: str) -> dict[str, str]:
    return {name: re.sub("<[^>]*>", "", value) for name, value in re.findall(r"<dt>([^<]*)</dt><dd>(.*?)</dd>", html)}


def played(store: Store, where: str) -> dict[str, str]:
    """What a page shows of these plays, by plain SQL."""
    ((plays, ms, first, last),) = store.sql(
        f"""SELECT count(*) FILTER (WHERE h.ms_played IS NULL OR h.ms_played >= 30000),
            sum(COALESCE(h.ms_played, t.duration_ms)), to_char(min(at), 'FMDD Mon YYYY'),
            to_char(max(at), 'FMDD Mon YYYY')
        FROM play_history h JOIN tracks t ON t.id = h.track_id,
            LATERAL (SELECT h.played_at AT TIME ZONE 'Europe/Berlin' AS at) l WHERE {where}"""
    )
    return {"Plays": str(plays), "Hours listened": f"{ms / 3_600_000:,.1f}", "First play": first, "Last play": last}


def rows(html: str, id_: str) -> list[list[str]]:
    part = html.partition(f'aria-labelledby="{id_}"')[2].partition("</section>")[0]
    found = re.findall(r"<tr>(.*?)</tr>", part.partition("<tbody>")[2], re.DOTALL)
    return [
        [unescape(re.sub("<[^>]*>", "", cell)).strip() for cell in re.findall("<td[^>]*>(.*?)</td>", row)]
        for row in found
    ]


def test_a_track_shows_its_plays_places_and_periods(plain: Callable[[str], str], store: Store) -> None:
    html = plain("/tracks/t2")
    assert numbers(html) == played(store, "h.track_id = 't2'")
    assert '<h1 dir="auto">&lt;b&gt;Jóga&lt;/b&gt;</h1>' in html
    assert 'href="/artists/a2" dir="auto">&lt;i&gt;Guest&lt;/i&gt;</a>' in html
    assert 'href="/albums/b1" dir="auto">Homogenic</a> (1997) · 2:01' in html
    assert "saved <time" in html
    assert "still saved" in html
    places = re.findall(r'href="/playlists/p1"[^>]*>Mornings</a></span><span class="soft">no\. (\d)(, since)?', html)
    assert places == [("1", ", since"), ("3", "")]
    assert len(re.findall(r'<li><time datetime="2026-05', html)) == 15
    assert ">31 May 2026 01:30</time>" in html, "times are those of Berlin"
    assert 'href="https://open.spotify.com/track/t2"' in html
    store.sql("UPDATE saved_tracks SET removed_at = now()")
    assert "until <time" in plain("/tracks/t2")


def test_a_track_never_saved_or_played_says_so(plain: Callable[[str], str]) -> None:
    html = plain("/tracks/t3")
    assert numbers(html) == {"Plays": "0"}
    for words in ("Never saved.", "On none.", "No plays are stored."):
        assert words in html


def test_a_removed_track_of_an_import_was_saved_once(plain: Callable[[str], str], store: Store) -> None:
    store.sql(
        """INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at)
        SELECT id, 't3', '2024-01-02 12:00+00', '2025-03-04 12:00+00' FROM accounts WHERE spotify_user_id = 'me'"""
    )
    saved = re.sub("<[^>]*>", "", plain("/tracks/t3").partition('id="saved"')[2].partition("</section>")[0])
    assert "saved 2 Jan 2024 13:00until 4 Mar 2025" in saved


def test_an_album_lists_its_tracks_in_order(plain: Callable[[str], str], store: Store) -> None:
    html = plain("/albums/b1")
    assert numbers(html) == played(store, "t.album_id = 'b1'")
    plays = {row.track_id: row.n for row in store.sql("SELECT track_id, plays AS n FROM listened_tracks")}
    assert rows(html, "tracks") == [
        ["1", "Track 3", "", "3:01", "0"],
        ["2", "<b>Jóga</b>", "saved", "2:01", str(plays["t2"])],
        ["3", "Track 1", "", "1:01", str(plays["t1"])],
    ]
    assert "album, 1997 · " in html
    assert "One &lt;Little&gt;" in html
    assert "3 of 10" in html


def test_an_artist_shows_all_credits(plain: Callable[[str], str], store: Store) -> None:
    html = plain("/artists/a1")
    assert numbers(html) == played(store, "true")
    assert [row[0] for row in rows(html, "tracks")] == ["Track 1", "<b>Jóga</b>", "Track 3"]
    assert "1997 · 1 saved" in html
    assert "followed · 1 follower<" in html
    assert "art pop" in html
    guest = plain("/artists/a2")
    assert numbers(guest) == played(store, "h.track_id = 't2'")
    assert "not followed" in guest
    assert "None yet." in guest


@pytest.mark.parametrize(
    ("query", "number", "contents", "changed"),
    [
        ("", 3, ["<b>Jóga</b>", "(not available)", "<b>Jóga</b>"], 5),
        ("version=1", 1, ["Track 1"], 0),
        ("version=2", 2, ["Track 1", "<s>Home local"], 1),
        ("version=99", 3, ["<b>Jóga</b>", "(not available)", "<b>Jóga</b>"], 5),
        ("since=1", 3, ["<b>Jóga</b>", "(not available)", "<b>Jóga</b>"], 4),
        # The version of 31 May was read after midnight in Berlin.
        ("at=2026-05-31", 1, ["Track 1"], 0),
        ("at=2026-06-01", 3, ["<b>Jóga</b>", "(not available)", "<b>Jóga</b>"], 5),
        ("at=2026-06-01T00:30", 2, ["Track 1", "<s>Home local"], 1),
        ("at=2026-06-01T00:29", 1, ["Track 1"], 0),
        ("at=2026-05-31T22:30:00Z", 2, ["Track 1", "<s>Home local"], 1),
        ("at=2026-01-01", 1, ["Track 1"], 0),
        ("at=0001-01-01", 1, ["Track 1"], 0),
        ("at=9999-12-31", 3, ["<b>Jóga</b>", "(not available)", "<b>Jóga</b>"], 5),
        ("at=", 3, ["<b>Jóga</b>", "(not available)", "<b>Jóga</b>"], 5),
        ("first=1", 3, ["(not available)", "<b>Jóga</b>"], 5),
        ("first=99", 3, [], 5),
    ],
)
def test_a_playlist_is_shown_as_of_a_version_or_date(
    plain: Callable[[str], str], query: str, number: int, contents: list[str], changed: int
) -> None:
    html = plain(f"/playlists/p1?{query}")
    assert f"version {number} of 3" in html
    assert [re.sub(" Björk$", "", row[1]) for row in rows(html, "contents")] == contents
    assert html.count('<li class="change">') == changed
    assert ("oldest version that is stored" in html) == (query in {"at=2026-01-01", "at=0001-01-01"})


def test_a_date_ends_with_the_last_of_two_equal_hours(make_client: Callable[..., TestClient], store: Store) -> None:
    for statement in ROWS.split(";"):
        store.sql(statement)
    store.sql("UPDATE playlist_versions SET read_at = '2026-04-05 03:30+00' WHERE snapshot_id = 'v'")
    store.sql("UPDATE playlist_versions SET read_at = '2026-04-05 02:30+00' WHERE snapshot_id = 'w'")
    client = make_client(timezone="America/Santiago")
    assert "version 2 of 3" in client.get("/playlists/p1?at=2026-04-04").text, "both were read at 23:30 of this day"


def test_a_playlist_of_one_version_or_none(plain: Callable[[str], str], store: Store) -> None:
    assert "The contents of this playlist are not stored yet." in plain("/playlists/p2?at=2026-05-31")
    store.sql("DELETE FROM playlist_versions WHERE snapshot_id <> 'x'")
    html = plain("/playlists/p1")
    assert "version 1 of" not in html
    assert "Changes since" not in html
    assert "oldest version that is stored" not in plain("/playlists/p1?at=2026-06-01")
    assert "Nothing is known about" in plain("/playlists/p1?at=2026-05-31")


def test_more_rows_are_compared_with_the_same_version(plain: Callable[[str], str]) -> None:
    assert "/playlists/p1?version=3&amp;first=0&amp;since=1#contents" in plain("/playlists/p1?since=1&first=1")
    assert "/playlists/p1?version=3&amp;first=0#contents" in plain("/playlists/p1?first=1")


@pytest.mark.parametrize("path", ["/tracks/{}", "/albums/{}", "/artists/{}", "/playlists/{}"])
def test_an_unknown_id_has_a_page_that_says_so(client: TestClient, store: Store, path: str) -> None:
    for id_ in ("nothing", "0", "t2%00", "a" * 101, "%22%3E%3Cb%3E", "ä", "٣"):
        answer = client.get(path.format(id_), headers=PAGE)
        assert answer.status_code in {404, 422}, id_
        assert "<h1" in answer.text
        assert "<b>" not in answer.text
    store.sql("DELETE FROM accounts")
    assert client.get(path.format("nothing"), headers=PAGE).status_code in {404, 409}


@pytest.mark.parametrize(
    "at", ["tomorrow", "2026-02-30", "2026-13-01", "x" * 41, "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0660\u0661"]
)
def test_what_is_no_date_is_explained(client: TestClient, store: Store, at: str) -> None:
    for statement in ROWS.split(";"):
        store.sql(statement)
    answer = client.get("/playlists/p1", params={"at": at}, headers=PAGE)
    assert answer.status_code == 422
    assert "<h1" in answer.text


def test_an_account_sees_its_own_plays_and_playlists(
    plain: Callable[[str], str], client: TestClient, store: Store
) -> None:
    store.account("other")
    assert numbers(plain("/tracks/t2?account=other")) == {"Plays": "0"}
    assert 'href="/artists/a1?account=other"' in plain("/tracks/t2?account=other")
    assert 'name="account" value="me"' in plain("/playlists/p1")
    answer = client.get("/playlists/p1?account=other", headers=PAGE)
    assert answer.status_code == 404
    assert "No playlist p1 of other is stored" in answer.text


def test_links_of_items_begin_with_the_root_path(make_client: Callable[..., Any], store: Store) -> None:
    for statement in ROWS.split(";"):
        store.sql(statement)
    for path in ("/tracks/t2", "/albums/b1", "/artists/a1", "/playlists/p1", "/library"):
        html = make_client(root_path="/music").get(f"/music{path}").text
        outside = re.findall(r'(?:href|src|action|hx-get)="(?!/music/|https://|spotify:|#)([^"]*)"', html)
        assert outside == []
