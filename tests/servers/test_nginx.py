"""The page below a path, behind a real nginx with the configuration of the documentation, in a real Chromium."""

import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from spotisync.stack.process import ChildSpec, Process
from tests.support.ports import free_port
from tests.web.browser import conftest as browsing
from tests.web.browser.conftest import Site
from tests.web.browser.test_page import headline, hold, let_go, press
from tests.web.conftest import TOKEN

browser, open_page, browser_page = browsing.browser, browsing.open_page, browsing.browser_page
broker_url, deploy, make_site = browsing.broker_url, browsing.deploy, browsing.make_site

NGINX: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.skipif(not any(map(shutil.which, browsing.NAMES)), reason="there is no Chromium"),
]
DOCUMENTED: Final = Path(__file__).parents[2] / "docs" / "operations.md"
CONFIG: Final = """
daemon off;
master_process off; # one process, so that none is left when the tests are killed
pid nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


class Nginx(Process):
    def __init__(self, directory: Path, location: str) -> None:
        self.port = free_port()
        (directory / "nginx.conf").write_text(CONFIG.format(port=self.port, location=location))
        argv = [str(NGINX), "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]
        super().__init__(ChildSpec(name="nginx", argv=argv, ready=self._accepts), directory)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@pytest.fixture(params=["removes the path", "keeps the path"])
def proxied(
    make_site: Callable[..., Site], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Site, str]]:
    """A site with a token, and the origin of the proxy."""
    removes = request.param == "removes the path"
    site = make_site(api_token=TOKEN, root_path="" if removes else "/spotify")
    (location,) = re.findall(r"```nginx\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    address = site.url.removeprefix("http://") + ("/" if removes else "")
    assert location.count("127.0.0.1:8420/;") == 1
    nginx = Nginx(tmp_path, location.replace("127.0.0.1:8420/;", f"{address};"))
    try:
        nginx.start().wait_ready()
        yield site, nginx.origin
    finally:
        nginx.stop()


def log_in(page: Page) -> None:
    page.get_by_label("API token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()


def test_the_page_works_below_a_path(proxied: tuple[Site, str], browser_page: Page) -> None:
    site, origin = proxied
    page, answers = browser_page, list[tuple[str, int]]()
    site.account()
    hold(site, "/v1/me/tracks", after=4)
    page.on("response", lambda answer: answers.append((answer.url, answer.status)))
    page.goto(f"{origin}/spotify")
    expect(page).to_have_url(f"{origin}/spotify/login?next=/spotify/")
    expect(page.locator("body")).to_have_css("background-color", "rgb(246, 245, 241)")
    log_in(page)
    expect(page).to_have_url(f"{origin}/spotify/")
    check_sync(page, site)
    check_library(page, f"{origin}/spotify/library")
    page.context.clear_cookies()
    page.reload()
    log_in(page)
    expect(page).to_have_url(re.compile(re.escape(f"{origin}/spotify/library?q=")))
    assert {cookie["path"] for cookie in page.context.cookies()} == {"/spotify"}
    addresses = [url.removeprefix(origin) for url, _ in answers if url.startswith(origin)]
    assert [each for each in addresses if not re.match(r"/spotify(/|$)", each)] == []
    assert [each for each in addresses if "/fragments/status" in each] == [], (
        "every update came by events, which a worker of the browser reads"
    )
    assert [url for url, status in answers if status >= 400] == []


def check_sync(page: Page, site: Site) -> None:
    """Start a sync and see the bars move by events."""
    headline(page).to_contain_text("No sync has run yet")
    press(page, "Full sync")
    bar = page.get_by_role("progressbar", name="Tracks")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"\d+ of 403, \d\d%, running"))
    let_go(site)
    expect(bar).to_have_attribute("aria-valuenow", "100")
    headline(page).to_contain_text("Completed at")
    page.locator("#history").get_by_role("link", name="1 full sync").click()
    expect(page.locator(".timeline > li").last).to_contain_text("Completed.")


def check_library(page: Page, address: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Library").click()
    expect(page).to_have_url(address)
    items = page.locator("#results .item")
    expect(items).to_have_count(50)
    page.get_by_role("link", name="Show more").click()
    expect(items).to_have_count(100)
    name = items.nth(3).locator(".name a").inner_text().lower()
    page.get_by_label("Search").press_sequentially(name)
    expect(page).to_have_url(re.compile(re.escape(f"{address}?q=")))
    expect(items.first.locator(".name a")).to_have_text(re.compile(re.escape(name), re.IGNORECASE))
