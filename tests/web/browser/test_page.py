"""The front page and the page of a run, in a real Chromium, on a real stack."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.support.waiting import wait_until
from tests.web.browser.conftest import PHONE, Site, chromium, violations

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)
NARROW: ViewportSize = {"width": 360, "height": 740}
FITS = "() => document.documentElement.scrollWidth <= window.innerWidth"


def headline(page: Page) -> Any:
    return expect(page.locator("#headline"))


def press(page: Page, words: str) -> None:
    page.get_by_role("button", name=words).click()


def hold(site: Site, path: str, after: int) -> None:
    """Hold all replies of Spotify after a number of requests."""
    site.deployment.simulator.control.add_fault(kind="hold", path=path, after=after, times=None, seconds=600)


def let_go(site: Site) -> None:
    site.deployment.simulator.control.clear_faults()
    site.deployment.simulator.control.release()


TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"


def check_appearance(page: Page) -> None:
    """Check the page in light and dark mode, on a desktop and on a small phone."""
    size = page.viewport_size
    assert size
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate(TWO_FRAMES)  # until the colours of both schemes are no longer mixed
        assert violations(page) == [], scheme
    page.set_viewport_size(NARROW)
    assert page.evaluate(FITS), "the page scrolls horizontally"
    assert violations(page) == []
    page.set_viewport_size(size)


def test_a_sync_starts_on_the_page_and_its_bars_move_without_a_reload(site: Site, browser_page: Page) -> None:
    site.account()
    hold(site, "/v1/me/tracks", after=4)
    page, loads, asked = browser_page, list[str](), list[str]()
    page.on("load", lambda loaded: loads.append(loaded.url))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.url)
    headline(page).to_contain_text("No sync has run yet")
    press(page, "Full sync")
    bar = page.get_by_role("progressbar", name="Tracks")
    headline(page).to_contain_text("Reading saved tracks")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"\d+ of 403, \d\d%, running"))
    expect(page.get_by_role("status").filter(has_text="Reading saved tracks.")).to_have_count(1)
    expect(page.get_by_role("button")).to_have_text(["Cancel"])  # only the actions that the state allows
    check_appearance(page)
    let_go(site)
    expect(bar).to_have_attribute("aria-valuenow", "100")
    headline(page).to_contain_text("Completed at")
    expect(page.locator("#history tbody tr")).to_have_text([re.compile("1 full sync.*done", re.DOTALL)])
    expect(page.get_by_role("button")).to_have_text(["Sync now", "Full sync"])
    check_appearance(page)
    assert len(loads) == 1
    assert [each for each in asked if "/fragments/status" in each] == [], "every update came by events, none by polling"


def test_shows_that_a_worker_died_and_that_another_continues(
    make_site: Callable[..., Site], browser_page: Page
) -> None:
    site = make_site(work=False)
    site.account()
    site.deployment.beat()
    worker = site.deployment.worker(concurrency=1)
    hold(site, "/v1/me/tracks", after=4)
    page = browser_page
    page.goto(site.url)
    press(page, "Full sync")
    headline(page).to_contain_text("Reading saved tracks")
    wait_until(site.deployment.simulator.control.held_requests, "a held request")
    os.killpg(worker.process.pid, signal.SIGKILL)
    headline(page).to_contain_text("Worker lost; another worker continues from the last checkpoint.")
    check_appearance(page)
    let_go(site)
    site.deployment.worker(concurrency=1)
    headline(page).to_contain_text("Completed at")
    page.get_by_role("link", name="1 full sync").click()
    expect(page.locator(".timeline")).to_contain_text(re.compile("Worker lost during batch .* of tracks"))
    expect(page.locator(".timeline > li").last).to_contain_text("Completed.")
    check_appearance(page)


def test_counts_a_wait_down_then_cancels_and_resumes(site: Site, browser_page: Page) -> None:
    site.account()
    control = site.deployment.simulator.control
    control.add_fault(kind="status", status=429, retry_after=7_200, path="/v1/me/tracks", after=2, times=None)
    page = browser_page
    page.goto(site.url)
    press(page, "Full sync")
    headline(page).to_contain_text("Paused until")
    countdown = page.get_by_role("timer")
    expect(countdown).to_have_text(re.compile(r"1 h 59 min \d+ s"))
    before = countdown.inner_text()
    expect(countdown).not_to_have_text(before)
    headline(page).to_contain_text("Spotify quota for library reads")
    expect(page.locator(".countdown")).to_contain_text("until the sync resumes automatically, at ")
    check_appearance(page)
    press(page, "Cancel")
    headline(page).to_contain_text("Cancelled at")
    expect(page.locator("#notice")).to_contain_text("Run 1 was cancelled. The items that it has read are stored")
    control.clear_faults()
    site.deployment.sql("DELETE FROM rate_limits")
    page.get_by_role("link", name="run 1").first.click()
    press(page, "Resume")
    headline(page).to_contain_text("Completed at")
    expect(page.locator(".timeline")).to_contain_text("Paused for 2 h")
    expect(page.locator(".timeline")).to_contain_text("Resumed from the last checkpoint.")
    page.get_by_role("link", name="Status").click()
    press(page, "Sync now")
    expect(page.locator("#history tbody tr")).to_have_count(2)
    headline(page).to_contain_text("Completed at")
    expect(page.locator("#history tbody tr").first).to_contain_text(re.compile("2 incremental sync.*done", re.DOTALL))
    control.add_fault(kind="status", status=403, path="/v1/me", message=f"Not {'served' * 30}", times=None)
    press(page, "Full sync")
    headline(page).to_contain_text("Failed: Spotify answered 403: Not served")
    page.get_by_role("link", name="run 3").first.click()
    expect(page.get_by_role("region", name="Error")).to_contain_text("Cause")
    check_appearance(page)
    page.get_by_role("link", name="Status").click()
    for row in (1, 2, 3):
        expect(page.locator(f"#run-{row} a")).to_have_attribute("href", f"/runs/{row}")


def test_shows_status_and_buttons_without_javascript(
    make_site: Callable[..., Site], open_page: Callable[..., Page]
) -> None:
    site = make_site(work=False)
    page = open_page(script=False, size=PHONE)
    page.goto(site.url)
    headline(page).to_contain_text("No account yet.")
    expect(page.get_by_role("link", name="Connect a Spotify account")).to_have_attribute("href", "/accounts")
    site.account()
    page.reload()
    press(page, "Full sync")
    assert page.url == f"{site.url}/?account={site.deployment.scalar('SELECT spotify_user_id FROM accounts')}"
    headline(page).to_contain_text("Waiting for a worker")
    expect(page.get_by_role("progressbar")).to_have_count(4)
    other = open_page(script=False)
    other.goto(site.url)
    press(page, "Cancel")
    expect(page.locator("#notice")).to_contain_text("Run 1 was cancelled.")
    press(page, "Resume")
    press(page, "Cancel")
    # A button pressed too late is explained: the run had been resumed and had ended again.
    site.deployment.sql("UPDATE sync_history SET status = 'success'")
    press(other, "Cancel")
    expect(other.locator("#notice")).to_contain_text("Run 1 can't be cancelled: it is already done.")


def test_polls_when_events_are_unavailable(site: Site, browser_page: Page) -> None:
    site.account()
    page = browser_page
    page.add_init_script("delete window.SharedWorker")  # its requests can't be intercepted
    page.route("**/events/**", lambda route: route.fulfill(status=404))
    page.goto(site.url)
    site.deployment.foreign.send_task("spotisync.full_sync", queue="spotisync.sync")
    headline(page).to_contain_text("Completed at")
    expect(page.locator("#history tbody tr")).to_have_count(1)
    page.route("**/fragments/**", lambda route: route.abort())
    expect(page.get_by_text("No connection to spotisync.")).to_be_visible()
    page.unroute("**/fragments/**")
    expect(page.get_by_text("No connection to spotisync.")).to_be_hidden()


def test_shows_several_accounts_together_and_separately(make_site: Callable[..., Site], browser_page: Page) -> None:
    site = make_site(100, work=False, accounts=2)
    one, two = site.account(0), site.account(1)
    site.deployment.sql(
        "UPDATE accounts SET status = 'needs_login', last_error = 'its login has ended' WHERE spotify_user_id = :name",
        name=two.name,
    )
    page = browser_page
    page.goto(site.url)
    expect(page.get_by_role("heading", level=2)).to_have_text(["User 01", "User 02"])
    expect(page.locator(f"#account-{two.name}")).to_contain_text("has to log in again")
    check_appearance(page)
    page.get_by_role("navigation", name="Accounts").get_by_role("link", name=two.name).click()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("link", name="Log in again")).to_be_visible()
    page.get_by_role("navigation", name="Accounts").get_by_role("link", name=one.name).click()
    press(page, "Full sync")
    headline(page).to_contain_text("Waiting for a worker")


def test_a_missing_chromium_fails_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(pytest.fail.Exception, match="apt install chromium"):
        chromium()
