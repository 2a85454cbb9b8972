"""The library in a real browser: typing, filters, the back button, more rows; and accessibility."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support import driver
from tests.web.browser.conftest import PHONE, Site, violations

pytestmark = pytest.mark.browser


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    made = make_site(400, work=False)
    assert driver.full_sync(made.deployment.context, made.account())["status"] == "success"
    return made


def test_typing_searches_and_the_address_keeps_the_query(site: Site, browser_page: Page) -> None:
    page = browser_page
    page.goto(f"{site.url}/library")
    items = page.locator("#results .item")
    expect(items).to_have_count(50)
    expect(page.locator("#found")).to_contain_text("saved tracks")
    assert violations(page) == []
    name, artist = items.nth(3).locator(".name a").inner_text(), items.nth(3).locator("p.soft a").first
    page.get_by_label("Search").press_sequentially(name.lower()[:5])
    expect(page).to_have_url(f"{site.url}/library?q={name.lower()[:5].strip().replace(' ', '+')}&account=user01")
    expect(items.first.locator(".name a")).to_be_visible()
    expect(page.locator("#found")).not_to_have_text("400 saved tracks")
    found = page.locator("#found").inner_text()
    page.reload()
    expect(page.get_by_label("Search")).to_have_value(name.lower()[:5].strip())
    expect(page.locator("#found")).to_have_text(found)
    page.get_by_label("Search").fill("")
    expect(items).to_have_count(50)
    who = artist.inner_text()
    artist.click()
    chip = page.locator(".chip")
    expect(chip).to_contain_text(who)
    assert violations(page) == []
    page.go_back()
    expect(chip).to_have_count(0)
    expect(items).to_have_count(50)


def test_shows_more_rows_facets_and_other_kinds(site: Site, browser_page: Page) -> None:
    page = browser_page
    page.goto(f"{site.url}/library")
    items = page.locator("#results .item")
    page.get_by_role("link", name="Show more").press("Enter")
    expect(items).to_have_count(100)
    expect(items.nth(50).locator(".name a")).to_be_focused()
    decade = page.locator("#facets section", has_text="Decades").locator("li").first
    count = decade.locator(".numbers").inner_text()
    decade.get_by_role("link").click()
    expect(page.locator("#found")).to_have_text(f"{count} saved tracks")
    page.locator(".chip").click()
    expect(page.locator(".chip")).to_have_count(0)
    page.get_by_label("Sort by").select_option("name")
    expect(page).to_have_url(f"{site.url}/library?account=user01&sort=name")
    for kind in ("Saved albums", "Followed artists", "Playlists"):
        page.get_by_role("link", name=kind).click()
        expect(page.locator("#kinds [aria-current]")).to_have_text(kind)
        expect(items.first).to_be_visible()
        assert violations(page) == []


def test_a_playlist_is_chosen_by_typing_a_part_of_its_name(site: Site, browser_page: Page) -> None:
    (name,) = site.deployment.sql("SELECT name FROM playlists ORDER BY id LIMIT 1")[0]
    page = browser_page
    page.goto(f"{site.url}/library")
    field = page.get_by_role("combobox", name="In playlist")
    field.press_sequentially(name[:4])
    page.locator("#playlists option").first.wait_for(state="attached")
    field.fill(page.locator("#playlists option").first.get_attribute("value") or "")
    expect(page.locator(".chip")).to_contain_text("playlist")
    expect(field).to_have_value("")
    assert violations(page) == []
    page.locator(".chip").click()
    expect(page.locator(".chip")).to_have_count(0)


def test_works_on_a_phone_in_dark_mode_and_without_scripts(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page(size=PHONE, dark=True)
    page.goto(f"{site.url}/library")
    expect(page.locator("#facets section").first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert violations(page) == []
    plain = open_page(script=False)
    plain.goto(f"{site.url}/library")
    plain.get_by_label("Search").fill("zzzz nothing")
    plain.get_by_role("button", name="Search").click()
    expect(plain.get_by_text("No saved tracks found")).to_be_visible()
    plain.get_by_role("link", name="Clear all filters").or_(plain.get_by_role("link", name="Include removed")).click()
    plain.goto(f"{site.url}/library")
    plain.get_by_role("link", name="Show more").click()
    expect(plain.locator("#results .item").first).to_be_visible()
    plain.goto(f"{site.url}/library")
    plain.get_by_role("link", name="Show genres").click()
    expect(plain.locator("#facets section").first).to_be_visible()
