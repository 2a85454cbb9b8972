"""The pages of statistics without JavaScript: each figure equals plain SQL over the plays and the saved tracks."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from spotisync.web.pages.stats import RANGES
from tests.support.store import Store
from tests.web.conftest import TestClient

ZONE = "America/New_York"
DAYS = {"4w": 28, "6m": 182, "1y": 365, "all": 100_000}
# Three years of plays at all hours. Track 0 has two artists; track 5 is of an unknown album.
ROWS = """
    INSERT INTO artists (id, name, uri, genres) SELECT 'a' || n,
        CASE n WHEN 2 THEN '<b>Bold</b>' ELSE 'Artist ' || n END, 'spotify:artist:a' || n,
        (ARRAY['{pop}', '{pop,"r&b"}', NULL])[n + 1]::text[] FROM generate_series(0, 2) n;
    INSERT INTO albums (id, name, uri, label, released_on) SELECT 'b' || n, 'Album ' || n, 'spotify:album:b' || n,
        'Label ' || n % 2, make_date(1980 + 9 * n, 1, 1) FROM generate_series(0, 2) n;
    INSERT INTO tracks (id, name, uri, album_id, duration_ms) SELECT 't' || n, 'Track ' || n, 'spotify:track:t' || n,
        CASE WHEN n < 5 THEN 'b' || n % 3 END, 100000 + n FROM generate_series(0, 12) n;
    INSERT INTO track_artists SELECT 't' || n, 0, 'a' || n % 3 FROM generate_series(0, 12) n;
    INSERT INTO track_artists VALUES ('t0', 1, 'a1');
    INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at) SELECT a.id, 't' || n,
        timestamptz '2024-01-01 03:00+00' + n * interval '31 days', CASE WHEN n = 9 THEN now() END
        FROM accounts a, generate_series(0, 11) n WHERE a.spotify_user_id = 'me';
    INSERT INTO play_history (account_id, track_id, played_at, ms_played, source)
        SELECT a.id, 't' || ((n * n + n / 7) % 13), now() - n * interval '10 hours 7 minutes',
            CASE WHEN n % 4 > 0 THEN n * 7919 % 120000 END, 'import'
        FROM accounts a, generate_series(0, 2600) n WHERE a.spotify_user_id = 'me'
"""
COUNTED = "(h.ms_played IS NULL OR h.ms_played >= 30000)"
PLAYS = f"""FROM (SELECT h.*, h.played_at AT TIME ZONE '{ZONE}' AS local, {COUNTED} AS counted,
        COALESCE(h.ms_played, t.duration_ms) AS ms, t.album_id
    FROM play_history h JOIN tracks t ON t.id = h.track_id
    WHERE h.account_id = (SELECT id FROM accounts WHERE spotify_user_id = 'me')) h
    WHERE local::date > (now() AT TIME ZONE '{ZONE}')::date - :days"""
COUNT = "count(*) FILTER (WHERE counted)"
TOP = f"HAVING {COUNT} > 0 ORDER BY {COUNT} DESC, sum(ms) DESC, 1 LIMIT 10"


@pytest.fixture
def plain(make_client: Callable[..., TestClient], store: Store) -> Callable[[str], str]:
    """Get a page as text, in the time zone of New York."""
    store.account("other")
    for statement in ROWS.split(";"):
        store.sql(statement)
    client = make_client(timezone=ZONE)

    def get(path: str) -> str:
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, answer.text
        assert " style=" not in answer.text
        return unescape(answer.text)

    return get


def section(html: str, id_: str) -> str:
    return html.partition(f'aria-labelledby="{id_}"')[2].partition("</section>")[0]


def numbers(html: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*?) ?<", html))


def ranked(html: str) -> list[tuple[str, int, str]]:
    """Name, plays and hours of each entry of a list."""
    entries = re.findall(
        r'<li>.*?clamp name"><(?:a|bdi)[^>]*>(.*?)</(?:a|bdi)>.*?([\d,]+) plays? · ([\d.,]+) h', html, re.DOTALL
    )
    return [(name, int(plays.replace(",", "")), hours) for name, plays, hours in entries]


def expect(store: Store, name: str, joins: str, key: str, days: int) -> list[tuple[str, int, str]]:
    """The same from the plays, joined with what is counted."""
    found = store.sql(
        f"""SELECT x.id, x.name, x.plays, x.ms / 3600000.0 FROM (
            SELECT {key} AS id, {name} AS name, {COUNT} AS plays, sum(ms) AS ms {PLAYS.replace(") h", f") h {joins}")}
            GROUP BY 1, 2 {TOP.replace("1 LIMIT", "id LIMIT").replace(", id", f", {key}")}) x
        ORDER BY plays DESC, ms DESC, 1""",
        days=days,
    )
    return [(row.name, row.plays, f"{row[3]:,.1f}" if row[3] < 10 else f"{row[3]:,.0f}") for row in found]


@pytest.mark.parametrize("chosen", RANGES)
def test_totals_and_lists_of_a_range_equal_plain_sql(plain: Callable[[str], str], store: Store, chosen: str) -> None:
    html, days = plain(f"/stats?account=me&range={chosen}"), DAYS[chosen]
    ((plays, ms, active, tracks),) = store.sql(
        f"""SELECT {COUNT}, sum(ms), count(DISTINCT local::date) FILTER (WHERE counted),
            count(DISTINCT track_id) FILTER (WHERE counted) {PLAYS}""",
        days=days,
    )
    shown = numbers(html)
    assert shown["Plays"] == f"{plays:,}"
    assert shown["Hours listened"] == f"{ms / 3_600_000:,.0f}"
    assert (shown["Days with plays"], shown["Tracks"]) == (f"{active:,}", f"{tracks:,}")
    tracks_ = expect(store, "x.name", "JOIN tracks x ON x.id = h.track_id", "x.id", days)
    artists = "JOIN track_artists c USING (track_id) JOIN artists x ON x.id = c.artist_id"
    assert ranked(section(html, "top-tracks")) == tracks_
    assert ranked(section(html, "top-artists")) == expect(store, "x.name", artists, "x.id", days)
    albums = expect(store, "x.name", "JOIN albums x ON x.id = h.album_id", "x.id", days)
    assert ranked(section(html, "top-albums")) == albums
    genres = expect(store, "g", f"{artists} CROSS JOIN unnest(x.genres) g", "g", days)
    assert ranked(section(html, "top-genres")) == genres
    assert f'range={chosen}" aria-current="page"' in html


def test_the_calendar_and_its_table_equal_plain_sql(plain: Callable[[str], str], store: Store) -> None:
    html = section(plain("/stats?account=me"), "calendar")
    today = datetime.now(ZoneInfo(ZONE)).date()
    first = today - timedelta(days=today.weekday() + 52 * 7)
    counted = store.sql(
        f"SELECT local::date AS day, {COUNT} AS plays {PLAYS} AND local::date >= :first GROUP BY 1",
        days=400, first=first,
    )  # fmt: skip
    days = {row.day: row.plays for row in counted if row.plays}
    cells = re.findall(r'<rect x="\d+" y="\d+" class="l(\d)"[^>]*><title>(\w{3} \d+ \w{3} \d{4}): ([\d,]+) play', html)
    assert len(cells) == (today - first).days + 1
    drawn = {datetime.strptime(day, "%a %d %b %Y").date(): int(plays) for _, day, plays in cells}  # noqa: DTZ007
    assert {day: plays for day, plays in drawn.items() if plays} == days
    assert {int(level) > 0 for level, _, plays in cells if plays != "0"} == {True}
    rows = re.findall(r'<time datetime="([-\d]+)"[^>]*>[^<]*</time></td><td class="right">([\d,]+)', html)
    assert rows == [(day.isoformat(), str(plays)) for day, plays in sorted(days.items(), reverse=True)]
    assert f"{sum(days.values()):,} plays in a year" in html


def test_hours_of_the_week_equal_plain_sql(plain: Callable[[str], str], store: Store) -> None:
    html = section(plain("/stats?account=me&range=all"), "week")
    counted = store.sql(
        f"""SELECT extract(isodow FROM local)::int AS day, extract(hour FROM local)::int AS hour, {COUNT} AS plays
        {PLAYS} GROUP BY 1, 2""",
        days=100_000,
    )
    plays = {(row.day, row.hour): row.plays for row in counted}
    rows = re.findall(r'<tr><th scope="row">(\w{3})</th>(.*?)</tr>', html)
    assert [name for name, _ in rows] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    for day, (_, cells) in enumerate(rows, start=1):
        assert [int(each) for each in re.findall(r">(\d+)<", cells)] == [plays.get((day, n), 0) for n in range(24)]
    assert html.count("<title>") == 7 * 24


def test_years_loved_tracks_and_this_day_equal_plain_sql(plain: Callable[[str], str], store: Store) -> None:
    html = plain("/stats?account=me")
    years = store.sql(
        f"""SELECT extract(year FROM local)::int AS year, {COUNT} AS plays, round(sum(ms) / 3600000.0) AS hours,
            count(DISTINCT local::date) FILTER (WHERE counted) AS days {PLAYS} GROUP BY 1 ORDER BY 1 DESC""",
        days=100_000,
    )
    rows = re.findall(r'<th scope="row">(\d+)</th>' + 3 * r'<td class="right">([\d,]+)</td>', section(html, "years"))
    assert [tuple(int(each.replace(",", "")) for each in row) for row in rows] == [
        tuple(map(int, row)) for row in years
    ]
    loved = store.sql(
        f"""SELECT track_id, {COUNT} AS plays, min(local)::date AS first, max(local)::date AS last {PLAYS}
        GROUP BY 1 {TOP}""",
        days=100_000,
    )
    shown = re.findall(
        r'/tracks/(t\d+)\?.*?datetime="([-\d]+)".*?datetime="([-\d]+)".*?(\d+) plays', section(html, "loved"), re.DOTALL
    )
    assert shown == [(row.track_id, row.first.isoformat(), row.last.isoformat(), str(row.plays)) for row in loved]
    this_day = store.sql(
        f"""SELECT extract(year FROM local)::int AS year, {COUNT} AS plays {PLAYS}
        AND to_char(local, 'MMDD') = to_char(now() AT TIME ZONE '{ZONE}', 'MMDD')
        AND local::date < (now() AT TIME ZONE '{ZONE}')::date GROUP BY 1 HAVING {COUNT} > 0 ORDER BY 1 DESC""",
        days=100_000,
    )
    days = re.findall(r'clamp">(\d{4}).*?(\d+) plays?<', section(html, "this-day"), re.DOTALL)
    assert days == [(str(row.year), str(row.plays)) for row in this_day]


def test_growth_and_shares_of_the_library_equal_plain_sql(plain: Callable[[str], str], store: Store) -> None:
    html = plain("/stats/library?account=me")
    source = "FROM saved_tracks s JOIN tracks t ON t.id = s.track_id LEFT JOIN albums b ON b.id = t.album_id"
    saved = f"{source} WHERE s.removed_at IS NULL"
    assert f"{store.one(f'SELECT count(*) {saved}')} saved tracks" in html
    years = store.sql(
        f"""SELECT year, n, sum(n) OVER (ORDER BY year) FROM (
            SELECT extract(year FROM added_at AT TIME ZONE '{ZONE}')::int AS year, count(*) AS n {saved}
            GROUP BY 1) x"""
    )
    rows = re.findall(r'<th scope="row">(\d+)</th>' + 2 * r'<td class="right">(\d+)</td>', section(html, "growth"))
    assert {row for row in rows if row[1] != "0"} == {tuple(map(str, row)) for row in years}
    decades = f"""SELECT extract(decade FROM b.released_on)::int * 10 || 's', count(*) {saved}
        AND b.id IS NOT NULL GROUP BY 1"""
    genres = f"""SELECT g, count(DISTINCT s.track_id) {source} JOIN track_artists c USING (track_id)
        JOIN artists a ON a.id = c.artist_id CROSS JOIN unnest(a.genres) g WHERE s.removed_at IS NULL GROUP BY 1"""
    labels = f"SELECT b.label, count(*) {saved} AND b.label IS NOT NULL GROUP BY 1"
    for name, query in (("decade", decades), ("genre", genres), ("label", labels)):
        shown = re.findall(r'<bdi dir="auto">([^<]*)</bdi></span><span[^>]*>(\d+)<', section(html, f"by-{name}"))
        order = "1" if name == "decade" else "2 DESC, 1"
        assert shown == [(row[0], str(row[1])) for row in store.sql(f"{query} ORDER BY {order}")], name


# ---- choices, empty states ------------------------------------------------------------------------------------------


def test_an_account_is_chosen_and_kept(plain: Callable[[str], str]) -> None:
    html = plain("/stats?account=me&range=4w")
    assert "<option selected>me</option>" in html.replace("\n", "")
    assert 'name="range" value="4w"' in html
    assert re.search(r'href="/stats/library\?account=me"', html)
    assert re.search(r'href="/stats\?account=me&range=all"', html)
    assert "/artists/a1?account=me" in html
    other = plain("/stats?account=other")
    assert "No plays are stored yet" in other
    assert "spotisync import PATH" in other
    assert "No saved tracks are stored yet." in plain("/stats/library?account=other")
    assert "No plays are stored yet" not in plain("/stats?account=nobody"), "the first account"


def test_names_are_escaped(client: TestClient, store: Store) -> None:
    for statement in ROWS.split(";"):
        store.sql(statement)
    html = client.get("/stats?range=all").text
    assert "&lt;b&gt;Bold&lt;/b&gt;" in html
    assert "<b>Bold" not in html
    assert "r&amp;b" in client.get("/stats/library").text
    assert "?account=" not in html, "there is only one account"


@pytest.mark.parametrize("zone", ["UTC", ZONE])
def test_tracks_without_a_date_do_not_begin_in_1970(
    make_client: Callable[..., TestClient], store: Store, zone: str
) -> None:
    for statement in ROWS.split(";"):
        store.sql(statement)
    client = make_client(timezone=zone)
    store.sql("UPDATE saved_tracks SET added_at = 'epoch' WHERE track_id IN ('t0', 't1')")
    html = section(client.get("/stats/library").text, "growth")
    assert "11 saved tracks</h2>" in html
    assert "since March 2024" in html
    years = re.findall(r'<th scope="row">(\d+)</th>' + 2 * r'<td class="right">(\d+)</td>', html)
    assert years[-1] == ("2024", "9", "11")
    store.sql("UPDATE saved_tracks SET added_at = 'epoch'")
    assert "11 saved tracks</h2>" in client.get("/stats/library").text


def test_one_play_and_one_saved_track_are_singular(client: TestClient, store: Store) -> None:
    for statement in ROWS.split(";"):
        store.sql(statement)
    store.sql("DELETE FROM play_history WHERE played_at < (SELECT max(played_at) FROM play_history)")
    store.sql("UPDATE play_history SET ms_played = NULL")
    store.sql("DELETE FROM saved_tracks WHERE track_id <> 't3'")
    html = client.get("/stats").text
    assert "1 play in a year</h2>" in html
    assert 'aria-label="1 play on 1 day;' in html
    assert "1 saved track</h2>" in client.get("/stats/library").text


def test_an_empty_database_says_so(client: TestClient, store: Store) -> None:
    assert "No plays are stored yet" in client.get("/stats").text
    store.sql("DELETE FROM accounts")
    for path in ("/stats", "/stats/library"):
        assert "No account yet." in client.get(path).text


@pytest.mark.parametrize("query", ["range=5w", "range=", "account=" + "x" * 300])
def test_an_unknown_range_is_explained(client: TestClient, query: str) -> None:
    answer = client.get(f"/stats?{query}", headers={"Accept": "text/html"})
    assert answer.status_code == 422
    assert "<h1" in answer.text


def test_links_begin_with_the_root_path(make_client: Callable[..., Any], store: Store) -> None:
    for statement in ROWS.split(";"):
        store.sql(statement)
    for path in ("/stats", "/stats/library"):
        html = make_client(root_path="/music").get(f"/music{path}").text
        assert re.findall(r'(?:href|src|action)="(?!/music/|https://|#)([^"]*)"', html) == []
