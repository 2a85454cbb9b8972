"""A small stack with its page, and a real Chromium.

`site` is a deployment (servers, simulator, scheduler, worker) with its page; `make_site` makes others.
`browser_page` is a page in a desktop-sized browser; `open_page` opens others. Any error on a page's console, including
violations of its policy, fails the test at its end.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests import conftest as root
from tests.support.driver import Account
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.system import conftest as system
from tests.system.programs import Deployment, Program

# Like in the system tests: a separate database, a broker, and the processes that use them.
database_url, broker_url, deploy = root.database_url, system.broker_url, system.deploy

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = (
    "There is no Chromium, and these tests need a real one. Debian: apt install chromium fonts-liberation. Elsewhere: "
    "playwright install chromium. Or say where yours is: CHROMIUM=/path/to/chromium"
)
# Chromium makes no requests except for the page.
QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage",
)  # fmt: skip
DESK, PHONE = (1280, 900), (390, 844)


@dataclass
class Site:
    """A deployment and the URL of its page."""

    deployment: Deployment
    url: str
    web: Program

    def account(self, which: str | int = 0) -> Account:
        return self.deployment.account(which)

    def slow_down(self, milliseconds: float) -> None:
        """Set the average reply time of Spotify."""
        self.deployment.simulator.control.settings(latency_ms=milliseconds)


@pytest.fixture
def make_site(deploy: Callable[..., Deployment]) -> Callable[..., Site]:
    """Make a site with any settings; with `work=False` without scheduler and worker."""

    def make(library: str | int = 400, *, work: bool = True, **changes: object) -> Site:
        port = free_port()
        deployment = deploy(library, port=port, redirect_uri=f"http://127.0.0.1:{port}/accounts/callback", **changes)
        url = f"http://127.0.0.1:{port}"
        web = deployment._start("web", [sys.executable, "-m", "tests.web.browser.serve"], {})
        if work:
            deployment.beat()
            deployment.worker(concurrency=1)
        wait_until(lambda: _answers(url, web), f"the page to answer, see {web.log}")
        return Site(deployment, url, web)

    return make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def _answers(url: str, web: Program) -> bool:
    assert web.process.poll() is None, web.log.read_text()
    with suppress(URLError, ConnectionError), urlopen(f"{url}/static/spotisync.css", timeout=2) as answer:  # noqa: S310
        return bool(answer.status == 200)
    return False


# ---- the browser ----------------------------------------------------------------------------------------------------


def chromium() -> str:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found or not shutil.which(found):
        pytest.fail(MISSING, pytrace=False)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    sandbox = () if os.geteuid() else ("--no-sandbox",)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=[*QUIET, *sandbox])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page: `size`, `dark`, `script` (False: without JavaScript)."""
    contexts, complaints = [], list[str]()

    def open_one(*, size: tuple[int, int] = DESK, dark: bool = False, script: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            locale="en-GB",
            timezone_id="UTC",
            reduced_motion="reduce",  # so that checks see a stable page
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: _note(message, complaints))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def _note(message: ConsoleMessage, complaints: list[str]) -> None:
    # Failed requests are left to the tests; htmx logs them as objects.
    if message.type == "error" and not message.text.startswith(("Failed to load resource", "[object ", "htmx:")):
        complaints.append(message.text)


@pytest.fixture
def browser_page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def violations(page: Page) -> list[str]:
    """Return the violations that axe finds in the current page."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {', '.join(str(node['target']) for node in each['nodes'])}" for each in found]
