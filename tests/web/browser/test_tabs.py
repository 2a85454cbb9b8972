"""Many tabs of one browser, which opens at most six connections to a host."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Page, expect

from tests.support.waiting import wait_until
from tests.web.browser.conftest import Site

pytestmark = pytest.mark.browser
TABS = 10
ESTABLISHED = "01"  # in /proc/net/tcp
NO_SHARED_WORKER = "delete window.SharedWorker"
# Notes when a button is pressed in a tab, and when its headline changes.
NOTE_CHANGES = """() => {
    let last = document.getElementById("headline").textContent;
    document.addEventListener("click", () => window.pressedAt = Date.now(), {capture: true});
    new MutationObserver(() => {
        const headline = document.getElementById("headline").textContent;
        if (headline !== last) [last, window.changedAt] = [headline, Date.now()];
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
SET_HIDDEN = """(hidden) => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def idle_site(make_site: Callable[..., Site]) -> Site:
    """A site on which runs are only queued, as there is no worker."""
    site = make_site("tiny", work=False)
    site.account()
    return site


def open_tabs(page: Page, site: Site, number: int) -> list[Page]:
    tabs = [page, *(page.context.new_page() for _ in range(number - 1))]
    for tab in tabs:
        tab.goto(site.url)
        tab.evaluate(NOTE_CHANGES)
    return tabs


def count_connections(site: Site) -> int:
    """Connections that the server of the page has accepted."""
    port = f":{int(site.url.rpartition(':')[2]):04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(local.endswith(port) and state == ESTABLISHED for _, local, _, state, *_ in map(str.split, lines))


def press_and_measure(presser: Page, tabs: list[Page], button: str, headline: str) -> list[float]:
    """Press a button in one tab and return after how many seconds each tab showed it."""
    presser.get_by_role("button", name=button).click()
    for tab in tabs:
        expect(tab.locator("#headline")).to_contain_text(headline)
    pressed = presser.evaluate("window.pressedAt")
    return [(tab.evaluate("window.changedAt") - pressed) / 1000 for tab in tabs]


def test_ten_tabs_are_live_and_each_can_press_a_button(idle_site: Site, browser_page: Page) -> None:
    tabs = open_tabs(browser_page, idle_site, TABS)
    delays = [
        press_and_measure(tab, tabs, *change)
        for tab, change in zip(tabs, [("Full sync", "Waiting for a worker"), ("Cancel", "Cancelled")] * 5, strict=True)
    ]
    assert max(median(each) for each in zip(*delays, strict=True)) < 1, "each tab shows a change within a second"
    assert count_connections(idle_site) <= 6


def test_tabs_of_several_addresses_leave_connections_for_buttons(idle_site: Site, browser_page: Page) -> None:
    tabs = open_tabs(browser_page, idle_site, TABS)
    name = idle_site.account().name
    for number, tab in enumerate(tabs[1:]):
        tab.goto(f"{idle_site.url}/?account={name}&{'x' * number}=")
    for number, tab in enumerate(tabs):
        tab.evaluate("number => htmx.createEventSource(`/events/page?${number}`)", number)
    press_and_measure(tabs[0], [], "Full sync", "")
    for tab in tabs:
        expect(tab.locator("#headline")).to_contain_text("Waiting for a worker")


@pytest.mark.parametrize("script", ["", NO_SHARED_WORKER], ids=["shared", "own"])
def test_hidden_tabs_hold_no_connection(idle_site: Site, browser_page: Page, script: str) -> None:
    browser_page.context.add_init_script(script)
    tabs = open_tabs(browser_page, idle_site, 3)
    wait_until(lambda: count_connections(idle_site) >= 1, "a stream")
    for tab in tabs:
        tab.evaluate(SET_HIDDEN, arg=True)
    wait_until(lambda: count_connections(idle_site) == 0, "all streams to be closed")
    other = browser_page.context.new_page()
    other.goto(idle_site.url)
    other.get_by_role("button", name="Full sync").click()
    tabs[0].evaluate(SET_HIDDEN, arg=False)
    expect(tabs[0].locator("#headline")).to_contain_text("Waiting for a worker")
    expect(tabs[1].locator("#headline")).to_contain_text("No sync has run yet")


def test_a_tab_that_leaves_a_page_closes_its_stream(idle_site: Site, browser_page: Page) -> None:
    open_tabs(browser_page, idle_site, 1)
    other = browser_page.context.new_page()
    for number in range(8):
        other.goto(idle_site.url)
        other.evaluate("number => htmx.createEventSource(`/events/page?${number}`)", number)
        if number % 2:
            other.close()
            other = browser_page.context.new_page()
    other.close()
    wait_until(lambda: count_connections(idle_site) == 1, "only the stream of the first tab to be open")
