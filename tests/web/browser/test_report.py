"""The report of `spotisync report` in a real Chromium: offline, light and dark, wide and narrow, without JavaScript."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page

from spotisync.cli.report import render_report
from spotisync.core.report import WEEKDAYS, Counted, Ranked, ReportCounts, ReportData, ReportPlaylist, fill, fill_months
from tests.web.browser.conftest import DESK, PHONE, violations

pytestmark = pytest.mark.browser

AT = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [
    "Ólafur Arnalds",
    "مشروع ليلى",
    "W" * 500,
    "A name of many words, feat. others and an orchestra (Deluxe)",
    None,
]
PLAYED = [Ranked(name, "By", 300 - 50 * number, 12.5) for number, name in enumerate(NAMES)]
SAVED = [replace(each, hours=None) for each in PLAYED]
DATA = ReportData(
    account="me",
    display_name="Ann",
    made_at=AT,
    zone="Europe/Berlin",
    top=25,
    counts=ReportCounts(5_123, 331.2, 212, 98, 1_432, 61, 48_123, 2_911.4, AT, AT),
    growth=fill_months((2015 + number // 12, number % 12 + 1, number % 7) for number in range(130)),
    decades=[Counted("1990s", 900), Counted("2000s", 1_200), Counted("unknown", 0)],
    hours=fill([f"{hour:02}" for hour in range(24)], {hour: hour for hour in range(24)}),
    weekdays=fill(WEEKDAYS, {day: day for day in range(7)}),
    artists_saved=SAVED,
    albums_saved=SAVED,
    artists_played=PLAYED,
    albums_played=PLAYED,
    tracks_played=PLAYED,
    playlists=[ReportPlaylist("Road trip", "Ann", 812), ReportPlaylist(None, None, None)],
)


@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_a_report_is_readable_everywhere(
    open_page: Callable[..., Page], tmp_path: Path, size: tuple[int, int], *, dark: bool
) -> None:
    file = tmp_path / "library.html"
    file.write_text(render_report(DATA))
    page = open_page(size=size, dark=dark)
    requests = list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.context.set_offline(offline=True)
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    assert violations(page) == []
    for details in page.locator("summary").all():
        details.click()
    assert page.get_by_role("row", name="2025-10").is_visible()
    assert page.get_by_role("row", name="Monday").is_visible()
    assert violations(page) == []
    assert requests == [file.as_uri()]


def test_a_report_has_bars_and_tables_without_scripts(open_page: Callable[..., Page], tmp_path: Path) -> None:
    file = tmp_path / "library.html"
    file.write_text(render_report(DATA))
    page = open_page(script=False)
    page.goto(file.as_uri())
    widths = [box["width"] for each in page.locator("td.bar span").all()[:5] if (box := each.bounding_box())]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] > 0
    heights = [
        box["height"] for each in page.locator(".columns").nth(1).locator("span").all() if (box := each.bounding_box())
    ]
    assert heights == sorted(heights)
    page.get_by_text("Figures").first.click()
    assert page.get_by_role("cell", name="5", exact=True).first.is_visible()
