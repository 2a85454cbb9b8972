"""Every page in a real Chromium: wide and narrow, light and dark, with and without JavaScript, with axe."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support import driver
from tests.web.browser.conftest import DESK, PHONE, Site, violations

# Axe needs some seconds for each page while other tests run.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
FITS = "() => document.documentElement.scrollWidth <= window.innerWidth"
# Plays of four years with habits: evenings, some tracks far more than others, short plays, and unknown lengths.
PLAYS = """INSERT INTO play_history (account_id, track_id, played_at, ms_played, source)
    SELECT DISTINCT ON (2, 3) a.id, t.id,
        date_trunc('day', now()) - n * interval '17 hours' - (n * n % 11) * interval '13 minutes',
        CASE WHEN n % 5 > 0 THEN 15000 + (n * 7919 % 200) * 1000 END, 'import'
    FROM accounts a, generate_series(1, 2000) n
    JOIN LATERAL (SELECT id FROM tracks ORDER BY id OFFSET n * n % 97 LIMIT 1) t ON true
    WHERE a.spotify_user_id = :name"""
VERSIONS = """INSERT INTO playlist_versions (playlist_id, read_at, snapshot_id, items)
    SELECT playlist_id, read_at - v * interval '40 days', 'earlier ' || v,
        (SELECT jsonb_agg(i ORDER BY n) FROM jsonb_array_elements(items) WITH ORDINALITY x(i, n) WHERE n % (v + 1) > 0)
    FROM playlist_versions, generate_series(1, 3) v WHERE jsonb_array_length(items) > 9"""
# Greyed-out tracks, one with a twin; a simulated playlist has rows without a track.
VANISHED = """WITH lost AS (INSERT INTO unplayable_tracks SELECT s.account_id, s.track_id, now() FROM saved_tracks s
        JOIN accounts a ON a.id = s.account_id WHERE a.spotify_user_id = :name ORDER BY s.track_id LIMIT 3
        RETURNING track_id)
    UPDATE tracks SET linked_from = (SELECT min(track_id) FROM lost), name = repeat('another recording ', 20)
    WHERE id = (SELECT max(track_id) FROM saved_tracks)"""
# A run with a pause, waits, a retry and a lost worker.
EVENTS = """INSERT INTO run_events (sync_id, at, kind, phase, seq, attempt, family, seconds, items, calls, message)
    SELECT h.id, h.started_at + s * interval '1 second', e.kind, e.phase, e.s, e.attempt, e.family, e.seconds, e.items,
        1, e.message
    FROM sync_history h, (VALUES
        (1, 'begun', NULL, NULL, NULL, NULL, NULL, 'cli'), (4, 'batch', 'tracks', 1, 'library', 3, 200, NULL),
        (5, 'wait', 'tracks', 1, 'library', 20, NULL, 'rate'), (29, 'batch', 'tracks', 1, 'library', 4, 200, NULL),
        (30, 'retried', 'tracks', 1, 'library', 15, NULL, 'Spotify answered 503'),
        (50, 'batch', 'tracks', 2, 'library', 5, 90, NULL), (80, 'lost', 'artists', 1, NULL, NULL, NULL, NULL),
        (90, 'batch', 'artists', 2, 'artists', 9, 100, NULL),
        (91, 'parked', 'albums', 1, 'albums', 100, NULL, 'quota'), (191, 'woken', NULL, NULL, NULL, NULL, NULL, NULL),
        (195, 'batch', 'albums', 1, 'albums', 4, 100, NULL),
        (199, 'batch', 'playlists', 1, 'playlists', 3, 9, NULL),
        (200, 'failed', NULL, NULL, NULL, NULL, NULL, 'a reason')
    ) e(s, kind, phase, attempt, family, seconds, items, message) WHERE h.status = 'failed'"""


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """A site with a synced library, another account, years of plays, versions of playlists, and a troubled run."""
    made = make_site(400, work=False, accounts=2)
    name = made.account().name
    made.account(1)
    assert driver.full_sync(made.deployment.context, driver.Account(name))["status"] == "success"
    sql = made.deployment.sql
    sql(PLAYS, name=name)
    sql(VERSIONS)
    sql(
        """INSERT INTO sync_history (account_id, sync_type, status, trigger, started_at, completed_at, last_error)
        SELECT id, 'incremental', 'failed', 'cli', now() - interval '200 seconds', now(), 'a reason'
        FROM accounts WHERE spotify_user_id = :name""",
        name=name,
    )
    sql(EVENTS)
    sql(VANISHED, name=name)
    return made


def list_pages(site: Site) -> dict[str, str]:
    """The path of each page, by a name."""
    scalar = site.deployment.scalar
    track = scalar("SELECT track_id FROM listened_tracks ORDER BY plays DESC, track_id LIMIT 1")
    album = scalar("SELECT album_id FROM tracks WHERE id = :id", id=track)
    artist = scalar("SELECT artist_id FROM track_artists WHERE track_id = :id AND position = 0", id=track)
    playlist = scalar("SELECT playlist_id FROM playlist_versions GROUP BY 1 HAVING count(*) > 3 ORDER BY 1 LIMIT 1")
    troubled = scalar("SELECT id FROM sync_history WHERE status = 'failed'")
    return {
        "status": "/",
        "library": "/library?facets=1",
        "albums": "/library?kind=albums",
        "playlists": "/library?kind=playlists",
        "listening": "/stats",
        "listening-4w": "/stats?range=4w",
        "listening-nobody": f"/stats?account={site.account(1).name}",
        "numbers": "/stats/library",
        "track": f"/tracks/{track}",
        "album": f"/albums/{album}",
        "artist": f"/artists/{artist}",
        "playlist": f"/playlists/{playlist}",
        "changes": "/changes",
        "vanished": "/vanished",
        "run": "/runs/1",
        "troubled": f"/runs/{troubled}",
        "budget": "/budget",
        "accounts": "/accounts",
        "docs": "/docs",
        "missing": "/tracks/nothing",
    }


def open_without_scripts(open_page: Callable[..., Page], size: tuple[int, int], dark: bool) -> Page:
    """A page that gets no scripts, for axe, which is one itself."""
    page = open_page(size=size, dark=dark)
    page.route("**/*.js", lambda route: route.abort())
    return page


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("script", [True, False])
def test_every_page_fits_and_is_accessible(
    site: Site, open_page: Callable[..., Page], script: bool, dark: bool
) -> None:
    found = dict[str, list[str]]()
    for size in (DESK, PHONE):
        page = open_page(size=size, dark=dark, script=script)
        checked = page if script else open_without_scripts(open_page, size, dark)
        for name, path in list_pages(site).items():
            page.goto(site.url + path)
            expect(page.locator("main h1").first).to_be_attached()
            if not page.evaluate(FITS):
                found.setdefault(f"{name} {size}", []).append("scrolls horizontally")
            if not script:
                checked.goto(site.url + path)
            found.setdefault(f"{name} {size}", []).extend(violations(checked))
            if shots := os.environ.get("SHOTS"):
                page.screenshot(path=Path(shots) / f"{name}-{size[0]}-{dark}-{script}.png", full_page=True)
    assert {name: each for name, each in found.items() if each} == {}


def test_long_names_do_not_widen_a_page(site: Site, open_page: Callable[..., Page]) -> None:
    for table in ("tracks", "albums", "artists", "playlists"):
        site.deployment.sql(f"UPDATE {table} SET name = repeat('W', 200)")
    page = open_page(size=PHONE)
    wide = []
    for name, path in list_pages(site).items():
        page.goto(site.url + path)
        wide += [] if page.evaluate(FITS) else [name]
    assert wide == []


def test_a_version_is_chosen_by_slider_date_and_keyboard(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto(site.url + list_pages(site)["playlist"])
    heading = page.locator("#versions")
    expect(page.get_by_text("version 4 of 4")).to_be_visible()
    newest = heading.inner_text()
    slider = page.get_by_label("Version of the playlist")
    slider.focus()
    slider.press("ArrowLeft")
    slider.press("ArrowLeft")
    expect(page.get_by_text("version 2 of 4")).to_be_visible()
    expect(slider).to_be_focused()
    assert "version=2" in page.url
    assert heading.inner_text() != newest
    assert violations(page) == []
    page.go_back()
    expect(page.get_by_text("version 4 of 4")).to_be_visible()
    oldest = site.deployment.scalar("SELECT (min(read_at) + interval '1 day')::date::text FROM playlist_versions")
    for script in (True, False):
        one = open_page(script=script)
        one.goto(site.url + list_pages(site)["playlist"])
        one.get_by_label("Contents on").fill(oldest)
        one.get_by_role("button", name="Show").last.click()
        expect(one.get_by_text("version 1 of 4")).to_be_visible()
        assert f"at={oldest}" in one.url


def test_pages_lead_to_each_other(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(script=False)
    page.goto(site.url)
    page.get_by_role("link", name="Changes by run").click()
    expect(page).to_have_url(f"{site.url}/changes")
    page.locator(".change a").first.click()
    expect(page.locator(".eyebrow")).to_have_text("Track")
    page.goto(f"{site.url}/library")
    name = page.locator("#results .name a").first.inner_text()
    page.locator("#results .name a").first.click()
    expect(page.locator("main h1")).to_have_text(name)
    page.locator(".item-head a").first.click()
    expect(page.locator(".eyebrow")).to_have_text("Artist")
    page.get_by_role("link", name="Stats").click()
    expect(page.locator("#top-artists")).to_be_visible()
