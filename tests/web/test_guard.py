"""Access control: the token, the session, Host, Origin, forms."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Mount

from spotisync.errors import Misconfigured
from spotisync.settings import Settings
from spotisync.store.database import Database
from spotisync.web import create_app
from spotisync.web.middleware.guard import parse_host
from spotisync.web.middleware.login_attempts import MAX_PER_CLIENT
from spotisync.web.pages.login import get_local_path
from spotisync.web.security.csrf import RequireCsrfToken
from tests.support.store import Store
from tests.web.conftest import HERE, TOKEN, TestClient
from tests.web.test_api import problem

BEARER = {"Authorization": f"Bearer {TOKEN}"}
EXEMPT = {"/healthz", "/login", "/static/spotisync.css", "/accounts/callback"}
PAGE = {"Accept": "text/html"}


@pytest.fixture
def locked(make_client: Callable[..., TestClient], store: Store) -> TestClient:
    return make_client(api_token=TOKEN)


def everything(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Return each method of each route of the application."""
    for route in _routes(app.routes):
        if isinstance(route, Mount):
            assert route.path == "/static"
            yield "GET", "/static/spotisync.css"
            continue
        for method in route.methods:
            yield method, re.sub(r"{[^}]*}", "1", route.path)


def _routes(routes: Any) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from _routes(inner.routes)


# ---- the token ------------------------------------------------------------------------------------------------------


def test_without_a_token_everything_but_the_exempt_paths_is_refused(locked: TestClient) -> None:
    asked = set(everything(locked.app))  # type: ignore[arg-type]
    assert {"/", "/api/sync", "/api/sync/events", "/docs", "/openapi.json"} - {"/"} <= {path for _, path in asked}
    asked |= {("GET", "/nothing"), ("POST", "/api/sync/1/cancel"), ("GET", "/healthz/"), ("GET", "/static")}
    for method, path in asked:
        answer = locked.request(method, path)
        if path in EXEMPT:
            assert answer.status_code != 401, path
        else:
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), (method, path)


@pytest.mark.parametrize(
    "path", ["/static/../api/sync/status", "/static/%2e%2e/api/sync/status", "//healthz", "/login/x"]
)
def test_no_path_variant_bypasses_the_token(locked: TestClient, path: str) -> None:
    answer = locked.request("GET", f"{HERE}{path}")
    assert answer.status_code in {401, 404}
    assert "sync_id" not in answer.text


def test_accepts_the_token(locked: TestClient) -> None:
    assert locked.get("/api/sync/status", headers=BEARER).status_code == 200
    assert locked.get("/api/sync/status", headers={"Authorization": f"bearer  {TOKEN} "}).status_code == 200
    for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer \xff"):
        assert locked.get("/api/sync/status", headers={"Authorization": wrong.encode("latin-1")}).status_code == 401, (
            wrong
        )


def test_wrong_tokens_do_not_lock_out_the_right_one(locked: TestClient) -> None:
    wrong = {"Authorization": "Bearer no"}
    for _ in range(MAX_PER_CLIENT):
        assert locked.get("/api/sync/status", headers=wrong).status_code == 401
    refused = locked.get("/api/sync/status", headers=wrong)
    problem(refused, 429)
    assert int(refused.headers["Retry-After"]) > 0
    assert log_in(locked, "no").status_code == 429, "the login form counts the same attempts"
    assert locked.get("/api/sync/status", headers=BEARER).status_code == 200
    assert log_in(locked, TOKEN).status_code == 303


@pytest.mark.parametrize("token", ["x", "fifteen-letters"])
def test_a_token_that_can_be_guessed_is_refused(make_settings: Callable[..., Settings], token: str) -> None:
    with pytest.raises(Misconfigured, match=f"too short: {len(token)} of at least 16 characters. Generate") as refused:
        create_app(make_settings("http://127.0.0.1:1", api_token=token))
    assert not re.search(rf"\b{token}\b", str(refused.value))


def test_without_a_token_the_server_listens_only_on_loopback(make_settings: Callable[..., Settings]) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.7", "music.example.org", "127.0.0.1.example.org"):
        with pytest.raises(Misconfigured, match="SPOTISYNC_API_TOKEN"):
            create_app(make_settings("http://127.0.0.1:1", host=host))
    for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"):
        make_settings("http://127.0.0.1:1", host=host).check_address()
    make_settings("http://127.0.0.1:1", host="0.0.0.0", api_token=TOKEN).check_address()


# ---- the page's session ---------------------------------------------------------------------------------------------


def form_token(answer: Any) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    assert found
    return found[1]


def log_in(client: TestClient, token: str, **more: str) -> Any:
    csrf = form_token(client.get("/login"))
    return client.post("/login", data={"csrf": csrf, "token": token, **more})


def test_redirects_a_browser_to_the_login_form_and_back(locked: TestClient) -> None:
    led = locked.get("/docs?a=b", headers=PAGE)
    assert (led.status_code, led.headers["Location"]) == (303, "/login?next=/docs%3Fa%3Db")
    shown = locked.get(led.headers["Location"])
    assert 'name="next" value="/docs?a=b"' in shown.text
    wrong = log_in(locked, "no", next="/docs")
    assert (wrong.status_code, "Wrong token" in wrong.text) == (401, True)
    right = log_in(locked, TOKEN, next="/docs")
    assert (right.status_code, right.headers["Location"]) == (303, "/docs")
    session = right.headers["Set-Cookie"]
    assert all(rule in session for rule in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age="))
    assert "Secure" not in session, "a session over http is not marked secure"
    assert TOKEN not in session
    assert locked.get("/docs", headers=PAGE).status_code == 200
    assert locked.get("/api/sync/status").status_code == 200
    assert locked.get("/login?next=/docs").headers["Location"] == "/docs", "no login without a token"
    problem(locked.post("/logout"), 403)
    session = locked.cookies["spotisync_session"].strip('"')
    bound = f"{locked.cookies['spotisync_form']}\0{session}"
    csrf = locked.app.state.cipher.encrypt("form", bound)  # type: ignore[attr-defined]
    out = locked.post("/logout", headers={"X-CSRF-Token": csrf})
    assert out.status_code == 303
    assert locked.get("/api/sync/status").status_code == 401


def test_a_session_that_was_logged_out_has_ended_in_all_processes(
    locked: TestClient, make_client: Callable[..., TestClient]
) -> None:
    log_in(locked, TOKEN)
    cookies = dict(locked.cookies)
    other_process, other_browser = make_client(api_token=TOKEN), make_client(api_token=TOKEN)
    other_process.cookies.update(cookies)
    log_in(other_browser, TOKEN)
    assert other_process.get("/api/sync/status").status_code == 200
    page = locked.get("/")
    assert "Log out" in page.text
    assert locked.post("/logout", data={"csrf": form_token(page)}).headers["Location"] == "/login"
    locked.cookies.update(cookies)
    for client in (locked, other_process):
        for method, path in set(everything(locked.app)):  # type: ignore[arg-type]
            if path not in EXEMPT:
                assert client.request(method, path).status_code == 401, (method, path)
        assert client.get("/login").status_code == 200, "the form is shown again"
    assert other_browser.get("/api/sync/status").status_code == 200
    padded = {name: f"{value}!" for name, value in cookies.items()}
    other_process.cookies.update(padded)
    assert other_process.get("/api/sync/status").status_code == 401, "another spelling of the same session"


def test_a_session_is_not_trusted_while_the_database_is_unreachable(make_client: Callable[..., TestClient]) -> None:
    client = make_client(api_token=TOKEN, database_url="postgresql://127.0.0.1:1/nothing")
    client.cookies.set("spotisync_session", client.app.state.cipher.create_session())  # type: ignore[attr-defined]
    problem(client.get("/openapi.json"), 503)
    assert client.get("/openapi.json", headers=BEARER).status_code == 503
    client.cookies.clear()
    assert client.get("/openapi.json", headers=BEARER).status_code == 200


def test_over_https_the_session_cookie_is_secure(make_app: Callable[..., FastAPI]) -> None:
    client = TestClient(make_app(api_token=TOKEN), "https://localhost", follow_redirects=False)
    assert "Secure" in log_in(client, TOKEN).headers["Set-Cookie"]


def test_rejects_an_invalid_session(locked: TestClient, make_client: Callable[..., TestClient]) -> None:
    session = locked.app.state.cipher.create_session()  # type: ignore[attr-defined]
    other = make_client(api_token=f"{TOKEN}2").app.state.cipher.create_session()  # type: ignore[attr-defined]
    form = locked.app.state.cipher.encrypt("form", "")  # type: ignore[attr-defined]
    for wrong in (
        "",
        "x",
        ".",
        session[:-1],
        f"{session[:50]}{'b' if session[50] == 'a' else 'a'}{session[51:]}",
        form,
        other,
    ):
        locked.cookies.set("spotisync_session", wrong)
        assert locked.get("/api/sync/status").status_code == 401, wrong
    locked.cookies.clear()
    locked.cookies.set("spotisync_session", session)
    assert locked.get("/api/sync/status").status_code == 200


@given(wanted=st.text() | st.text("/\\.:@abc\t\n%").map(lambda text: f"/{text}"))
def test_a_login_redirects_only_to_own_pages(wanted: str) -> None:
    path = get_local_path(wanted)
    assert path.startswith("/")
    assert not path.startswith("//")
    assert not set(path) & set("\\\t\r\n")


def test_without_a_token_there_is_no_login_form(client: TestClient) -> None:
    assert client.get("/login?next=//evil.example").headers["Location"] == "/"


# ---- Host and Origin ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8420", "127.0.0.1.evil.example", "localhost.evil.example", "evil@127.0.0.1", "",
        "127.0.0.1 evil", "0.0.0.0:8420", "[::]:8420", "127.0.0.1#", "localhost/",
    ],
)  # fmt: skip
def test_rejects_an_unknown_host(client: TestClient, host: str) -> None:
    for path in ("/api/sync/status", "/healthz", "/static/spotisync.css", "/login"):
        assert "SPOTISYNC_ALLOWED_HOSTS" in problem(client.get(path, headers={"Host": host}), 421)["detail"]


def test_rejects_two_host_headers(client: TestClient) -> None:
    problem(client.get("/healthz", headers=[("Host", "localhost"), ("Host", "evil.example")]), 421)


def test_accepts_known_hosts(make_client: Callable[..., TestClient]) -> None:
    client = make_client(allowed_hosts="music.example.org, [fd00::7], fd00::8", host="192.168.1.7", api_token=TOKEN)
    for host in ("localhost", "LocalHost:1", "127.0.0.1:9", "[::1]:8420", "192.168.1.7:8420", "music.example.org.",
                 "MUSIC.example.org:443", "[fd00::7]", "[fd00::8]:1"):  # fmt: skip
        assert client.get("/healthz", headers={"Host": host}).status_code == 200, host


@given(st.text() | st.from_regex(r"\A.{0,2}(localhost|127.0.0.1|\[::1\]).{0,3}\Z"))
def test_no_other_name_passes_for_a_local_one(host: str) -> None:
    if parse_host(host) in {"localhost", "127.0.0.1", "::1"}:
        assert re.fullmatch(r"(localhost|127\.0\.0\.1|\[::1\]|::1)\.?(:\d+)?", host, re.IGNORECASE)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": HERE}, True),
        ({"Origin": "https://127.0.0.1:8420"}, True),  # behind a proxy with https
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"}, True),
        ({"Referer": f"{HERE}/runs/1"}, True),
        ({"Origin": "http://127.0.0.1:9999"}, False),  # another local program
        ({"Origin": "http://localhost:8420"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example", "Referer": HERE}, False),
        ({"Referer": "https://evil.example/127.0.0.1:8420"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": HERE}, False),
        ({"Origin": "http://["}, False),
    ],
)
def test_rejects_cross_site_requests(
    client: TestClient, store: Store, headers: dict[str, str], *, allowed: bool
) -> None:
    run = store.run()
    answer = client.post(f"/api/sync/{run.id}/cancel", headers=headers)
    if allowed:
        assert answer.status_code == 202
    else:
        assert "Cross-site" in problem(answer, 403)["detail"]
        assert store.get_run(run.id).status == "in_progress"


def test_other_sites_cannot_read_responses(client: TestClient) -> None:
    answer = client.get("/api/sync/status", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert client.options("/api/sync", headers={"Origin": "https://evil.example"}).status_code == 405


@pytest.mark.slow
def test_every_address_with_get_answers_to_head(client: TestClient) -> None:
    asked = 0
    for method, path in sorted(set(everything(client.app))):  # type: ignore[arg-type]
        if method == "GET" and "events" not in path:
            got, head = client.get(path), client.head(path)
            assert (head.status_code, head.text) == (got.status_code, ""), path
            assert head.headers.get("Content-Type") == got.headers.get("Content-Type"), path
            asked += 1
    assert asked > 20
    assert client.head("/runs").status_code == 405


# ---- forms ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_form(make_app: Callable[..., FastAPI]) -> TestClient:
    app, room = make_app(), APIRouter()

    @room.post("/posted", dependencies=[RequireCsrfToken])
    def posted() -> dict[str, bool]:
        return {"done": True}

    app.include_router(room)
    return TestClient(app, HERE, follow_redirects=False)


def test_accepts_a_form_only_with_its_token(with_form: TestClient, make_app: Callable[..., FastAPI]) -> None:
    csrf = form_token(TestClient(make_app(api_token=TOKEN), HERE).get("/login"))
    problem(with_form.post("/posted", data={"csrf": csrf}), 403)  # the token of another browser
    problem(with_form.post("/posted"), 403)
    page = with_form.get("/docs")
    assert "SameSite=lax" in page.headers["Set-Cookie"]
    own = with_form.app.state.cipher.encrypt("form", f"{with_form.cookies['spotisync_form']}\0")  # type: ignore[attr-defined]
    assert "Set-Cookie" not in with_form.get("/docs").headers, "the browser already has a token"
    assert with_form.post("/posted", data={"csrf": own}).json() == {"done": True}
    assert with_form.post("/posted", headers={"X-CSRF-Token": own}).json() == {"done": True}
    for wrong in (own[:-1], "", "\N{SNOWMAN}"):
        problem(with_form.post("/posted", data={"csrf": wrong}), 403)
    problem(with_form.post("/posted", files={"csrf": ("a", own.encode())}), 403)
    problem(with_form.post("/posted", data={"csrf": own}, headers={"Origin": "https://evil.example"}), 403)
    with_form.cookies.set("spotisync_form", "another")
    problem(with_form.post("/posted", data={"csrf": own}), 403)


def test_rejects_a_body_that_is_too_long(client: TestClient) -> None:
    problem(client.post("/api/sync", content=b" " * 1_000_001, headers={"Content-Type": "application/json"}), 413)

    def unsaid() -> Iterator[bytes]:
        yield from (b" " * 100_000 for _ in range(11))

    problem(client.post("/api/sync", content=unsaid(), headers={"Content-Type": "application/json"}), 413)


# ---- headers --------------------------------------------------------------------------------------------------------


def test_every_response_has_security_headers(locked: TestClient, database: Database) -> None:
    for path in ("/login", "/nothing", "/api/sync/status", "/static/spotisync.css", "/healthz"):
        security = locked.get(path).headers
        assert security["X-Content-Type-Options"] == "nosniff"
        rules = dict(rule.split(" ", 1) for rule in security["Content-Security-Policy"].split("; "))
        assert (rules["default-src"], rules["script-src"], rules["frame-ancestors"]) == ("'none'", "'self'", "'none'")
        assert "unsafe" not in security["Content-Security-Policy"]
        assert "Server" not in security
    assert locked.get("/login").headers["Cache-Control"] == "no-store"
    assert "immutable" in locked.get("/static/vendor/htmx-2.0.11.min.js").headers["Cache-Control"]
    assert locked.get("/static/spotisync.css").headers["Cache-Control"] == "no-cache"


def test_no_cache_keeps_an_error(client: TestClient) -> None:
    vendored = "/static/vendor/htmx-2.0.11.min.js"
    refused = [
        client.get("/static/vendor/htmx-9.0.0.min.js"),
        client.post(vendored),
        client.get(vendored, headers={"Host": "elsewhere.example"}),
        client.get("/static/none.css"),
    ]
    assert [(each.status_code, each.headers["Cache-Control"]) for each in refused] == [
        (status, "no-store") for status in (404, 405, 421, 404)
    ]
