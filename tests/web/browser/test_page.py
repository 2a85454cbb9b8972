"""The front page in a real Chromium."""

from playwright.sync_api import Page, expect

from tests.web.browser.conftest import Site, violations
import pytest

pytestmark = pytest.mark.browser


def test_a_sync_is_started_by_a_click(site: Site, browser_page: Page) -> None:
    site.account()
    page = browser_page
    page.goto(site.url)
    page.screenshot(path="/tmp/shot-never.png", full_page=True)
    page.get_by_role("button", name="Start a full sync").click()
    page.screenshot(path="/tmp/shot-going.png", full_page=True)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Complete since", timeout=60_000)
    expect(page.locator("#history tbody tr")).to_have_count(1)
    page.screenshot(path="/tmp/shot-done.png", full_page=True)
    assert violations(page) == []
