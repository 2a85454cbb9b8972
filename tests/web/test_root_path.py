"""Below a path of a proxy, which removes the path from requests or keeps it.

Pages are often built for the root of a host, and appear without styles and with links that lead out of a path.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from spotisync.web.app import STATIC
from spotisync.web.middleware.proxy import OWN
from spotisync.web.pages.login import get_local_path
from tests.support.store import Store
from tests.web.conftest import HERE, TOKEN, TestClient
from tests.web.served import Viewer, served
from tests.web.test_guard import BEARER, everything, form_token
from tests.web.test_home import HTMX, PAGE, ended
from tests.web.test_library import ROWS

ROOT = "/spotify"
LINKS = {"href", "src", "hx-get"}
PROXY, STRANGER = "127.0.0.1", "192.0.2.7"


@dataclass(frozen=True)
class Proxy:
    """Serves the application below the path, like a proxy. Other paths belong to another program."""

    app: ASGIApp
    root: str = ROOT
    strips: bool = True
    names_it: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(self.root)
        assert path != scope["path"], f"{path} is outside of {self.root}"
        named = [(b"x-forwarded-prefix", self.root.encode())] if self.names_it else []
        forwarded = path or "/" if self.strips else scope["path"]
        await self.app({**scope, "path": forwarded, "headers": [*scope["headers"], *named]}, receive, send)


class Addresses(HTMLParser):
    """The values of all attributes that begin with a slash; those that a browser follows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.all: set[str] = set()
        self.links: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, given in attrs:
            value = (given or "").partition("url=")[2] if tag == "meta" else given or ""
            if value.startswith("/"):
                self.all.add(value)
                if name in LINKS:
                    self.links.add(urldefrag(value).url)


def check(answer: httpx.Response) -> Addresses:
    """Check that every address in the response is below the path."""
    found = Addresses(answer.text) if "text/html" in answer.headers.get("Content-Type", "") else Addresses("")
    headers = (answer.headers.get(name, "") for name in ("Location", "HX-Redirect", "HX-Push-Url", "Link"))
    cookies = re.findall(r"Path=([^;,]*)", answer.headers.get("Set-Cookie", ""), re.IGNORECASE)
    every = [*found.all, *(value.lstrip("<") for value in headers if value.lstrip("<").startswith("/")), *cookies]
    outside = [each for each in every if not re.match(f"{ROOT}(?:[/?]|$)", each)]
    assert outside == [], answer.url
    return found


@pytest.fixture(params=["setting, stripped", "setting, kept", "header, stripped"])
def make_site(
    make_app: Callable[..., FastAPI], store: Store, request: pytest.FixtureRequest
) -> Callable[..., TestClient]:
    """Make a client of the application behind the proxy."""
    by_header, strips = request.param.startswith("header"), request.param.endswith("stripped")

    def make(**changes: Any) -> TestClient:
        redirect_uri = f"{HERE}{ROOT}/accounts/callback"
        app = make_app(root_path="" if by_header else ROOT, redirect_uri=redirect_uri, **changes)
        proxy = Proxy(app, strips=strips, names_it=by_header)
        return TestClient(proxy, base_url=HERE, follow_redirects=False, client=(PROXY, 1))

    return make


@pytest.fixture
def site(make_site: Callable[..., TestClient], store: Store) -> TestClient:
    """A site with a library, two accounts and more runs than a page shows."""
    for statement in ROWS.split(";"):
        store.sql(statement)
    for _ in range(12):
        ended(store)
    store.account("other")
    store.sql(
        "UPDATE sync_history SET status = 'failed', last_error = 'no' WHERE id = (SELECT max(id) FROM sync_history)"
    )
    return make_site()


# ---- pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_link_leads_to_a_page_below_the_path(site: TestClient) -> None:
    waiting, seen = [f"{ROOT}/", ROOT], set[str]()
    while waiting and len(seen) < 120:
        seen.add(address := waiting.pop(0))
        answer = site.get(address, headers=PAGE)
        assert answer.status_code in {200, 303}, address
        waiting += sorted(check(answer).links - seen - set(waiting))
    paths = {each.partition("?")[0].removeprefix(ROOT) for each in seen}
    expected = {"/", "/library", "/library/more", "/accounts", "/accounts/remove", "/docs", "/static/spotisync.js"}
    assert expected <= paths
    assert "/runs/1" in {re.sub(r"\d+", "1", path) for path in paths}


@pytest.mark.slow
def test_no_route_answers_with_an_address_outside(site: TestClient) -> None:
    app = site.app.app  # type: ignore[attr-defined]
    for method, path in [*everything(app), ("GET", "/static/nothing"), ("GET", "/nothing"), ("GET", "/library/")]:
        for headers in (PAGE, HTMX, {}) if path != "/readyz" else (PAGE,):
            answer = site.request(method, f"{ROOT}{path}", headers=headers)
            if path == "/library/":
                answer.headers["Location"] = answer.headers["Location"].removeprefix(HERE)
            check(answer)
            site.cookies.clear()
    assert {path.split("/")[1] for _, path in everything(app)} - {""} == OWN


def test_the_styles_of_a_page_for_an_error_are_found(site: TestClient) -> None:
    for path in ("/static/nothing", "/nothing"):
        answer = site.get(f"{ROOT}{path}", headers=PAGE)
        assert answer.status_code == 404
        assert f'href="{ROOT}/static/spotisync.css"' in answer.text
        assert f"{ROOT}/docs" in answer.text


def test_an_unexpected_error_is_shown_below_the_path(site: TestClient, store: Store) -> None:
    site = TestClient(site.app, base_url=HERE, client=(PROXY, 1), raise_server_exceptions=False)
    store.sql("ALTER TABLE accounts RENAME TO elsewhere")
    try:
        answer = site.get(f"{ROOT}/accounts", headers=PAGE)
    finally:
        store.sql("ALTER TABLE elsewhere RENAME TO accounts")
    assert answer.status_code == 503
    assert f'href="{ROOT}/static/spotisync.css"' in answer.text


def test_marks_the_current_page(site: TestClient) -> None:
    for path in ("/", "/library", "/accounts"):
        assert f'href="{ROOT}{path}" aria-current="page"' in site.get(f"{ROOT}{path}", headers=PAGE).text


def test_own_scripts_and_styles_contain_no_absolute_address() -> None:
    for path in STATIC.iterdir():
        if path.suffix in {".js", ".css", ".svg"}:
            assert re.findall(r"""["'`(]/[A-Za-z{$].*""", path.read_text()) == [], path


@pytest.mark.parametrize("by_header", [True, False])
def test_events_are_rendered_for_the_path_of_each_viewer(
    make_app: Callable[..., FastAPI], store: Store, *, by_header: bool
) -> None:
    ended(store)
    with served(make_app(root_path="" if by_header else ROOT)) as url, httpx.Client(timeout=30) as web:
        below = Viewer(web, f"{url}/events/page", **{"X-Forwarded-Prefix": ROOT})
        direct = Viewer(web, f"{url}/events/page")
        assert 'formaction="/spotify/runs?' in _read_lines(below)
        assert f'formaction="{"" if by_header else ROOT}/runs?' in _read_lines(direct)
        for viewer in (below, direct):
            viewer.close()


def _read_lines(viewer: Viewer) -> str:
    """Read the first event."""
    lines = list[str]()
    for line in viewer._lines:
        if not line and lines:
            break
        lines.append(line)
    return "\n".join(lines)


# ---- forms, redirects, cookies --------------------------------------------------------------------------------------


def test_logs_in_and_returns_to_a_page_below_the_path(make_site: Callable[..., TestClient]) -> None:
    site = make_site(api_token=TOKEN)
    led = site.get(f"{ROOT}/docs?a=b", headers=PAGE)
    assert led.headers["Location"] == f"{ROOT}/login?next=/spotify/docs%3Fa%3Db"
    form = site.get(led.headers["Location"])
    check(form)
    data = {"csrf": form_token(form), "token": TOKEN, "next": f"{ROOT}/docs?a=b"}
    entered = site.post(f"{ROOT}/login", data=data)
    assert (entered.status_code, entered.headers["Location"]) == (303, f"{ROOT}/docs?a=b")
    check(entered)
    page = site.get(entered.headers["Location"], headers=PAGE)
    assert page.status_code == 200
    left = site.post(f"{ROOT}/logout", data={"csrf": form_token(site.get(f"{ROOT}/", headers=PAGE))})
    assert left.headers["Location"] == f"{ROOT}/login"
    assert site.get(f"{ROOT}/docs").status_code == 401
    assert site.get(f"{ROOT}/docs", headers=HTMX).headers["HX-Redirect"] == f"{ROOT}/login"
    assert site.get(f"{ROOT}/healthz").status_code == 200


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        (f"{ROOT}/library?q=..", f"{ROOT}/library?q=.."), ("/library", f"{ROOT}/library"), (ROOT, f"{ROOT}/"),
        (f"{ROOT}/../admin", f"{ROOT}/"), (f"{ROOT}/%2e%2e/admin", f"{ROOT}/"), ("/..", f"{ROOT}/"),
        (f"{ROOT}//evil.example", f"{ROOT}/"), ("//evil.example", f"{ROOT}/"), ("/spotifyer", f"{ROOT}/spotifyer"),
    ],
)  # fmt: skip
def test_a_login_does_not_lead_out_of_the_path(wanted: str, location: str) -> None:
    assert get_local_path(wanted, ROOT) == location


def test_forms_and_the_login_with_spotify_stay_below_the_path(site: TestClient) -> None:
    csrf = {"csrf": form_token(site.get(f"{ROOT}/", headers=PAGE))}
    begun = site.post(f"{ROOT}/runs?account=me", data={**csrf, "sync_type": "full"}, headers=PAGE)
    assert begun.headers["Location"] == f"{ROOT}/?account=me"
    shown = site.post(f"{ROOT}/runs?account=me", data={**csrf, "sync_type": "full"}, headers=HTMX)
    assert f'formaction="{ROOT}/runs/' in shown.text
    check(shown)
    sent = site.post(f"{ROOT}/accounts/connect", data=csrf)
    assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A8420%2Fspotify%2Faccounts%2Fcallback" in sent.headers["Location"]
    check(sent)
    back = site.get(f"{ROOT}/accounts/callback?error=access_denied")
    assert back.headers["Location"] == f"{ROOT}/accounts"
    check(back)
    assert 'class="notice bad"' in site.get(f"{ROOT}/accounts", headers=PAGE).text
    assert 'class="notice bad"' not in site.get(f"{ROOT}/accounts", headers=PAGE).text


def test_the_api_names_addresses_below_the_path(make_site: Callable[..., TestClient], store: Store) -> None:
    site = make_site(api_token=TOKEN)
    for _ in range(2):
        ended(store)
    begun = site.post(f"{ROOT}/api/sync", json={"sync_type": "full"}, headers=BEARER)
    assert site.get(begun.headers["Location"], headers=BEARER).json()["sync_id"] == begun.json()["sync_id"]
    page = site.get(f"{ROOT}/api/sync/history?limit=1", headers=BEARER)
    assert page.headers["Link"].startswith(f"<{ROOT}/api/sync/history?")
    assert site.get(f"{ROOT}/openapi.json", headers=BEARER).json()["servers"] == [{"url": ROOT}]
    refused = site.get(f"{ROOT}/api/sync/999999999", headers=BEARER)
    assert refused.json()["instance"] == f"{ROOT}/api/sync/999999999"
    assert site.get(f"{ROOT}/api/sync/status", headers=PAGE).headers["Content-Type"] == "application/problem+json"


def test_asks_for_a_redirect_uri_below_the_path(make_app: Callable[..., FastAPI], store: Store) -> None:
    site = TestClient(Proxy(make_app(root_path=ROOT)), base_url=HERE)
    assert f"an address that ends with {ROOT}/accounts/callback" in site.get(f"{ROOT}/accounts").text


# ---- proxies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "trusted", "believed"),
    [
        (PROXY, "127.0.0.1,::1", True),
        (STRANGER, "127.0.0.1,::1", False),
        (STRANGER, "192.0.2.0/24", True),
        (PROXY, "192.0.2.0/24", False),
    ],
)
def test_headers_are_read_only_from_trusted_proxies(
    make_app: Callable[..., FastAPI], store: Store, sender: str, trusted: str, *, believed: bool
) -> None:
    client = TestClient(make_app(trusted_proxies=trusted, api_token=TOKEN), base_url=HERE, client=(sender, 1))
    headers = {"X-Forwarded-Prefix": ROOT, "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    page = client.get("/login", headers=headers)
    assert (f'href="{ROOT}/static/spotisync.css"' in page.text) is believed
    assert ("Secure" in page.headers["Set-Cookie"]) is believed
    wrong = {**headers, "Authorization": "Bearer no"}
    for number in range(10):  # a proxy appends the address that it has seen
        client.get("/docs", headers={**wrong, "X-Forwarded-For": f"198.51.100.{number}, 203.0.113.9"})
    assert client.get("/docs", headers=wrong).status_code == 429
    other = client.get("/docs", headers={**wrong, "X-Forwarded-For": "203.0.113.10"})
    assert (other.status_code == 401) is believed, "wrong tokens are counted for each client"


@pytest.mark.parametrize("prefix", ["//evil.example", "https://evil.example", '/"><script>', "/a/../b", "/", "", "/ä"])
def test_a_prefix_that_is_not_a_plain_path_is_ignored(client: TestClient, prefix: str) -> None:
    trusted = TestClient(client.app, base_url=HERE, client=(PROXY, 1))
    page = trusted.get("/", headers={"X-Forwarded-Prefix": prefix.encode()})
    assert page.status_code == 200
    assert 'href="/static/spotisync.css"' in page.text


def test_a_header_does_not_lead_to_another_route(client: TestClient) -> None:
    trusted = TestClient(client.app, base_url=HERE, client=(PROXY, 1))
    assert trusted.get("/x/healthz", headers={"X-Forwarded-Prefix": "/x"}).status_code == 404
    assert trusted.get("/healthz", headers={"X-Forwarded-Prefix": "/x"}).status_code == 200


def test_the_last_of_several_prefixes_is_that_of_the_proxy(client: TestClient) -> None:
    trusted = TestClient(client.app, base_url=HERE, client=(PROXY, 1))
    page = trusted.get("/", headers=[("X-Forwarded-Prefix", "/client"), ("X-Forwarded-Prefix", ROOT)])
    assert f'href="{ROOT}/static/spotisync.css"' in page.text


@pytest.mark.parametrize(
    ("schemes", "secure"),
    [(["https, http"], True), (["http,https"], False), (["https", "http"], True), (["https"], True), (["http"], False)],
)
def test_behind_several_proxies_the_first_scheme_counts(
    make_app: Callable[..., FastAPI], store: Store, schemes: list[str], *, secure: bool
) -> None:
    client = TestClient(make_app(api_token=TOKEN), base_url=HERE, client=(PROXY, 1))
    page = client.get("/login", headers=[("X-Forwarded-Proto", scheme) for scheme in schemes])
    assert ("Secure" in page.headers["Set-Cookie"]) is secure


def test_the_setting_overrides_the_header(make_app: Callable[..., FastAPI], store: Store) -> None:
    client = TestClient(make_app(root_path="/a/b"), base_url=HERE, client=(PROXY, 1))
    page = client.get("/library", headers={"X-Forwarded-Prefix": ROOT})
    assert 'href="/a/b/static/spotisync.css"' in page.text
    assert client.get("/a/bc").status_code == 404
    assert client.get("/a/b").status_code == 200


def test_a_root_path_may_begin_like_an_own_page_if_it_is_stripped(
    make_app: Callable[..., FastAPI], store: Store
) -> None:
    site = TestClient(Proxy(make_app(root_path="/library"), root="/library"), base_url=HERE)
    assert 'href="/library/library" aria-current="page"' in site.get("/library/library").text
    assert 'href="/library/" aria-current="page"' in site.get("/library/").text


@pytest.fixture
def direct(make_app: Callable[..., FastAPI], store: Store) -> Iterator[str]:
    with served(make_app(root_path=ROOT)) as url:
        yield url


def test_health_checks_and_the_page_also_answer_without_the_proxy(direct: str) -> None:
    for path in ("/healthz", f"{ROOT}/healthz", "/", ROOT, f"{ROOT}/static/spotisync.css"):
        assert httpx.get(f"{direct}{path}").status_code == 200, path
