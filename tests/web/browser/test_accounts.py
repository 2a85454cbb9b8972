"""Accounts in a real browser: connected on the simulator's login page, disabled, enabled, removed."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.web.browser.conftest import PHONE, Site, violations

pytestmark = pytest.mark.browser


def test_connects_and_disconnects_an_account(make_site: Callable[..., Site], open_page: Callable[..., Page]) -> None:
    site, page = make_site("tiny", work=False, accounts=2), open_page()
    page.goto(f"{site.url.replace('127.0.0.1', 'localhost')}/accounts")
    page.get_by_role("link", name="Go to").click()
    expect(page).to_have_url(f"{site.url}/accounts")
    assert violations(page) == []
    page.get_by_role("button", name="Connect to Spotify").click()
    page.locator("#user02").click()
    expect(page).to_have_url(f"{site.url}/accounts")
    expect(page.get_by_text("is connected.")).to_be_visible()
    expect(page.get_by_role("button", name="Full sync")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Full sync").click()
    expect(page).to_have_url(f"{site.url}/?account=user02")
    page.goto(f"{site.url}/accounts")
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("is disabled and no longer synced")).to_be_visible()
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_text("is enabled and will be synced")).to_be_visible()
    page.get_by_role("link", name="Disconnect and delete").click()
    expect(page.get_by_label("Yes, delete")).to_be_visible()  # axe can't run while the page changes
    assert violations(page) == []
    page.get_by_label("Yes, delete").check()
    page.get_by_role("button", name="Disconnect and delete").click()
    expect(page.get_by_text("is disconnected")).to_be_visible()
    expect(page.get_by_text("No account yet")).to_be_visible()


def test_a_denied_login_is_explained_on_a_phone(make_site: Callable[..., Site], open_page: Callable[..., Page]) -> None:
    site, page = make_site("tiny", work=False), open_page(size=PHONE, dark=True, script=False)
    page.goto(f"{site.url}/accounts")
    page.get_by_role("button", name="Connect to Spotify").click()
    page.locator("#cancel").click()
    expect(page.get_by_text("access to this account was denied")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_connects_an_account_by_an_app_of_its_own(
    make_site: Callable[..., Site], open_page: Callable[..., Page]
) -> None:
    site, page = make_site("tiny", work=False, accounts=2), open_page(size=PHONE)
    page.goto(f"{site.url}/accounts")
    page.get_by_text("Use another Spotify app").click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    page.get_by_label("Client ID").fill("own-app")
    page.get_by_label("Client secret").fill("its-secret-value")
    page.get_by_label("Owner").fill("bob")
    page.get_by_role("button", name="Connect with this app").click()
    page.locator("#user02").click()
    expect(page.get_by_text("is connected.")).to_be_visible()
    expect(page.get_by_text("own-app of bob")).to_be_visible()
