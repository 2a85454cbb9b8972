"""The budget page in a real Chromium: its charts, its table and its forms, with and without JavaScript."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.web.browser.conftest import PHONE, Site, violations

pytestmark = pytest.mark.browser
FITS = "() => document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture
def busy(make_site: Callable[..., Site]) -> Site:
    """A site with a day of calls, a learned ceiling, a spent one, and schedules."""
    site = make_site(work=False, incremental_interval=1800, playback_interval=600)
    site.account()
    site.deployment.sql(
        """INSERT INTO call_ledger
        SELECT 'simulated', f.family, date_trunc('minute', now()) - n * interval '37 minutes',
            a.id, f.calls + n % 7 FROM accounts a, generate_series(0, 38) n,
            (VALUES ('library', 8), ('playlists', 3), ('player', 2)) f(family, calls)"""
    )
    site.deployment.sql(
        """INSERT INTO budgets VALUES ('simulated', 'library', 600, now() - interval '2 days'),
            ('simulated', 'playlists', 150, now())"""
    )
    site.deployment.sql(
        """INSERT INTO schedules (account_id, kind, rule, due_at) SELECT a.id, k.kind, 'any', now() + interval '9 min'
            FROM accounts a, (VALUES ('incremental'), ('playback')) k(kind)"""
    )
    return site


def test_charts_and_sentences_are_accessible_at_any_size(busy: Site, open_page: Callable[..., Page]) -> None:
    for size in ((1280, 900), PHONE, (360, 740)):
        for dark in (False, True):
            page = open_page(size=size, dark=dark)
            page.goto(f"{busy.url}/budget")
            library = page.get_by_role("region", name="Library")
            expect(library).to_contain_text("calls spent in 24 h (learned on ")
            expect(library.locator("figure rect.coming")).to_have_count(24)
            assert page.evaluate(FITS), f"the page scrolls horizontally at {size}"
            assert violations(page) == []
            library.get_by_text("Table of hours").click()
            expect(library.get_by_role("row").last).to_contain_text("expected")
            assert violations(page) == []


@pytest.mark.parametrize("script", [True, False])
def test_a_family_is_blocked_and_released(busy: Site, open_page: Callable[..., Page], script: bool) -> None:
    page = open_page(script=script)
    page.goto(busy.url)
    page.get_by_role("link", name="Budget").click()
    page.get_by_label("Block Plays for").select_option("2 hours")
    page.get_by_role("button", name="Block Plays").click()
    expect(page.locator("#notice")).to_contain_text("Plays: blocked by hand.")
    expect(page.get_by_role("region", name="Plays")).to_contain_text("blocked until")
    page.get_by_role("button", name="End the block").click()
    expect(page.locator("#notice")).to_contain_text("The block is cleared.")
    assert busy.deployment.sql("SELECT family FROM rate_limits") == []
