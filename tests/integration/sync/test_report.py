"""The report's figures equal plain queries over the tables, and the file is safe and complete by itself."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from spotisync.cli.report import render_report
from spotisync.core.report import MAX_MONTHS, MAX_NAME, ReportData
from spotisync.simulator import Server
from spotisync.sync import Context, playback
from spotisync.sync.import_history import import_history
from spotisync.sync.report import read_report
from tests.integration.sync.test_export import silent, synced
from tests.integration.sync.test_playback import export, listen, sql
from tests.support.store import Store
from tests.system.command_line import InProcess
from tests.system.programs import environment

assert synced  # a fixture

ZONE = "America/St_Johns"  # half an hour off, with daylight saving time


@pytest.fixture
def data(synced: Context, simulator: Server, tmp_path: Path) -> ReportData:
    listen(simulator, 80)
    playback.track_plays(synced)
    import_history(synced.database, None, export(simulator, tmp_path), silent)
    return read_report(synced.database, None, ZONE, 500)


def test_counts_equal_the_tables(data: ReportData, synced: Context) -> None:
    def count(query: str) -> int:
        return int(sql(synced, f"SELECT count(*) AS n FROM {query}")[0].n)

    assert data.counts.saved_tracks == count("saved_tracks WHERE removed_at IS NULL") == data.growth[-1].total
    assert data.counts.saved_tracks == sum(each.count for each in data.decades)
    assert data.counts.saved_albums == count("saved_albums WHERE removed_at IS NULL")
    assert data.counts.followed_artists == count("followed_artists WHERE removed_at IS NULL")
    assert data.counts.playlists == count("account_playlists WHERE removed_at IS NULL") == len(data.playlists)
    plays = [row.ms_played for row in sql(synced, "SELECT ms_played FROM play_history")]
    assert data.counts.plays == sum(ms is None or ms >= 30_000 for ms in plays)
    (hours,) = sql(
        synced,
        """SELECT sum(COALESCE(ms_played, duration_ms)) / 3600000.0 AS n, min(played_at) AS first,
            max(played_at) AS last FROM play_history JOIN tracks ON id = track_id""",
    )
    assert float(data.counts.played_hours) == pytest.approx(float(hours.n))
    assert (data.counts.first_play, data.counts.last_play) == (hours.first, hours.last)


def test_charts_equal_the_rows_on_the_listeners_clock(data: ReportData, synced: Context) -> None:
    zone = ZoneInfo(ZONE)
    added = [
        row.added_at.astimezone(zone) for row in sql(synced, "SELECT * FROM saved_tracks WHERE removed_at IS NULL")
    ]
    assert {each.label: each.count for each in data.growth if each.count} == Counter(f"{at:%Y-%m}" for at in added)
    played = [
        row.played_at.astimezone(zone)
        for row in sql(synced, "SELECT * FROM play_history WHERE ms_played IS NULL OR ms_played >= 30000")
    ]
    assert {each.label: each.count for each in data.hours if each.count} == Counter(f"{at:%H}" for at in played)
    assert {each.label: each.count for each in data.weekdays if each.count} == Counter(f"{at:%A}" for at in played)
    albums = "saved_tracks JOIN tracks t ON t.id = track_id LEFT JOIN albums b ON b.id = album_id"
    years = [row.released_on for row in sql(synced, f"SELECT released_on FROM {albums} WHERE removed_at IS NULL")]
    assert {each.label: each.count for each in data.decades} == Counter(
        f"{at.year // 10 * 10}s" if at else "unknown" for at in years
    )


def test_lists_equal_plain_queries(data: ReportData, synced: Context) -> None:
    saved = "saved_tracks s JOIN tracks t ON t.id = s.track_id AND s.removed_at IS NULL"
    played = "play_history h JOIN tracks t ON t.id = h.track_id AND COALESCE(h.ms_played, 30000) >= 30000"
    artists = "JOIN track_artists x ON x.track_id = t.id JOIN artists a ON a.id = x.artist_id"
    for found, query in (
        (data.artists_saved, f"SELECT a.name, count(*) AS n FROM {saved} {artists} GROUP BY a.id"),
        (data.artists_played, f"SELECT a.name, count(*) AS n FROM {played} {artists} GROUP BY a.id"),
        (
            data.albums_saved,
            f"SELECT a.name, count(*) AS n FROM {saved} JOIN albums a ON a.id = album_id GROUP BY a.id",
        ),
        (
            data.albums_played,
            f"SELECT a.name, count(*) AS n FROM {played} JOIN albums a ON a.id = album_id GROUP BY a.id",
        ),
        (data.tracks_played, f"SELECT t.name, count(*) AS n FROM {played} GROUP BY t.id"),
    ):
        rows = sql(synced, query)
        assert rows
        assert Counter((each.name, each.count) for each in found) == Counter((row.name, row.n) for row in rows)
        assert [each.count for each in found] == sorted((each.count for each in found), reverse=True)
    assert sum(each.hours or 0 for each in data.tracks_played) == pytest.approx(
        float(
            sql(
                synced,
                f"""SELECT sum(COALESCE(ms_played, duration_ms)) / 3600000.0 AS n FROM play_history
                JOIN tracks ON id = track_id WHERE track_id IN (SELECT track_id FROM {played})""",
            )[0].n
        )
    )
    assert {(each.name, each.items) for each in data.playlists} == {
        (row.name, row.total_items)
        for row in sql(synced, "SELECT name, total_items FROM playlists JOIN account_playlists ON id = playlist_id")
    }


class Page(HTMLParser):
    """Tags with their attributes, and the cells of the tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def addresses(page: Page) -> Iterator[str]:
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form", "svg", "use"}
        assert not [name for name in attributes if name.startswith("on")]
        yield from (value or "" for name, value in attributes.items() if name in {"src", "href", "action", "srcset"})


def test_a_report_needs_nothing_from_elsewhere(data: ReportData) -> None:
    page = render_report(data)
    assert list(addresses(Page(page))) == []
    assert "url(" not in page
    assert "@import" not in page
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert f"{data.counts.saved_tracks:,}" in Page(page).texts


EVIL = "</th><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\u202e"


def fill_with(store: Store, rows: int, name: str) -> None:
    store.sql("UPDATE accounts SET display_name = :name", name=name)
    for table in ("artists", "albums"):
        store.sql(
            f"INSERT INTO {table} (id, name, uri) SELECT g::text, :name, '' FROM generate_series(1, :rows) g",
            rows=rows,
            name=name,
        )
    store.sql(
        """INSERT INTO tracks (id, name, uri, album_id, duration_ms)
        SELECT g::text, :name, '', g::text, 1000 FROM generate_series(1, :rows) g""",
        rows=rows,
        name=name,
    )
    store.sql("INSERT INTO track_artists SELECT id, 0, id FROM tracks")
    store.sql("INSERT INTO album_artists SELECT id, 0, id FROM albums")
    store.sql(
        """INSERT INTO saved_tracks (account_id, track_id, added_at)
        SELECT :account, id, '1970-01-01'::timestamptz + id::int * interval '1 month' FROM tracks""",
        account=store.account_id,
    )
    store.sql(
        """INSERT INTO play_history (account_id, track_id, played_at, source)
        SELECT :account, id, now() - id::int * interval '1 hour', 'recent' FROM tracks""",
        account=store.account_id,
    )
    store.sql(
        """INSERT INTO playlists (id, name, owner_name, collaborative, snapshot_id)
        SELECT id, :name, :name, false, '' FROM tracks""",
        name=name,
    )
    store.sql(
        "INSERT INTO account_playlists (account_id, playlist_id, position) SELECT :account, id, 0 FROM playlists",
        account=store.account_id,
    )


def test_names_are_shown_as_they_are(store: Store) -> None:
    fill_with(store, 3, EVIL)
    page = Page(render_report(read_report(store.database, None, "UTC", 10)))
    assert list(addresses(page)) == []
    assert page.texts.count(EVIL) > 20


def test_the_size_of_a_report_is_bounded(store: Store) -> None:
    fill_with(store, 700, "<" * 2_000)
    data = read_report(store.database, None, "UTC", 25)
    page = render_report(data)
    assert len(page.encode()) < 300_000
    assert "<" * (MAX_NAME + 1) not in Page(page).texts
    assert len(data.growth) == MAX_MONTHS
    assert data.growth[-1].total == 700
    assert {len(each) for each in (data.artists_saved, data.albums_played, data.tracks_played, data.playlists)} == {25}


def test_a_report_of_an_empty_library_is_whole(store: Store) -> None:
    page = render_report(read_report(store.database, None, "Asia/Kathmandu", 25))
    assert page.endswith("</html>")
    assert "Summary" in page
    assert "Most played" not in page


def test_an_hour_that_occurs_twice_counts_twice(store: Store) -> None:
    fill_with(store, 1, "a")
    store.sql("DELETE FROM play_history")
    first = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)  # 2:30 in Berlin, and once more an hour later
    for at in (first, first + timedelta(hours=1), first + timedelta(hours=2)):
        store.sql(
            "INSERT INTO play_history (account_id, track_id, played_at, source) VALUES (:account, '1', :at, 'recent')",
            account=store.account_id,
            at=at,
        )
    data = read_report(store.database, None, "Europe/Berlin", 5)
    assert {each.label: each.count for each in data.hours if each.count} == {"02": 2, "03": 1}
    assert {each.label: each.count for each in data.weekdays if each.count} == {"Sunday": 3}


def test_the_report_command_writes_one_file(
    synced: Context, tmp_path: Path, make_settings: Callable[..., Any], simulator: Server
) -> None:
    spotisync = InProcess(environment(make_settings(simulator.url)))
    path = tmp_path / "new" / "library.html"
    done = spotisync("report", str(path), "--top", "5", "--json")
    assert done.code == 0, done.err
    assert done.json == {"file": str(path), "bytes": path.stat().st_size}
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("<!doctype html>")
    assert spotisync("report", "-", "--json").code == 2
    assert spotisync("report", str(path), "--top", "501").code == 2
    (tmp_path / "file").touch()
    assert spotisync("report", str(tmp_path / "file" / "x.html")).code == 1
