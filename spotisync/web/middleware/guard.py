"""Who may ask: the token, the page's session, Host and Origin, and the headers that every answer carries."""

import logging
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spotisync.settings import Settings
from spotisync.web.errors import problem_response, wants_page
from spotisync.web.middleware import headers
from spotisync.web.middleware.login_attempts import LoginAttempts
from spotisync.web.pages import login
from spotisync.web.security import csrf
from spotisync.web.security.sessions import SessionSigner, same

log = logging.getLogger(__name__)
router = login.router

HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
SAFE_METHODS: Final = {"GET", "HEAD", "OPTIONS"}
EXEMPT: Final = ("/healthz", "/login", "/accounts/callback")
"""... and what lies below /static/: the token is not needed for these."""
LARGEST: Final = 1_000_000
"""Bytes of a request. Nothing that is posted here is long."""
FOREIGN_HOST: Final = (
    "spotisync is not known by this name; let it be: SPOTISYNC_ALLOWED_HOSTS (names, separated by commas)"
)
CROSS_SITE: Final = "This was sent by another site. Only spotisync's own page, and programs that are no browsers, may."
UNKNOWN: Final = (
    "This needs the token that stands in SPOTISYNC_API_TOKEN: Authorization: Bearer …; in a browser: /login"
)
WRONG: Final = "This token is not the one that stands in SPOTISYNC_API_TOKEN"
TOO_MANY: Final = "Too many wrong tokens came from here; try again in {seconds} s"
TOO_LARGE: Final = "That is more than anything here takes: a megabyte is the most"


def install(app: FastAPI, settings: Settings) -> None:
    """Refuse what must not be answered, before any room sees it. Raises `Misconfigured` where it must not listen."""
    settings.check_address()
    app.state.seal = SessionSigner(settings)
    app.state.tries = LoginAttempts()
    app.add_middleware(Guard, settings=settings, seal=app.state.seal, tries=app.state.tries)


class Guard:
    """Around all rooms. Plain ASGI: what streams goes through as it comes."""

    def __init__(self, app: ASGIApp, settings: Settings, seal: SessionSigner, tries: LoginAttempts) -> None:
        self._app = app
        self._settings = settings
        self._seal = seal
        self._tries = tries
        self._hosts = allowed_hosts(settings)
        self._checks: tuple[Callable[[Request], Response | None], ...] = (self._host, self._origin, self._size)
        if settings.api_token:
            self._checks += (self._token,)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = next((refusal for check in self._checks if (refusal := check(request))), None)
        await (refusal or self._app)(scope, _bounded(receive), self._telling(request, send))

    def _host(self, request: Request) -> Response | None:
        """A name that an attacker made lead here (DNS rebinding) is none of ours."""
        given = request.headers.getlist("Host")
        if len(given) == 1 and host_name(given[0]) in self._hosts:
            return None
        return problem_response(request, 421, FOREIGN_HOST)

    def _origin(self, request: Request) -> Response | None:
        if request.method in SAFE_METHODS or is_same_origin(request):
            return None
        return problem_response(request, 403, CROSS_SITE)

    def _size(self, request: Request) -> Response | None:
        length = request.headers.get("Content-Length", "0")
        return None if length.isdecimal() and int(length) <= LARGEST else problem_response(request, 413, TOO_LARGE)

    def _token(self, request: Request) -> Response | None:
        path = request.url.path
        if path in EXEMPT or path.startswith("/static/"):
            return None
        session = request.cookies.get(csrf.SESSION)
        if session and self._seal.is_session(session):
            return None
        return self._bearer(request)

    def _bearer(self, request: Request) -> Response | None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return _login_first(request)
        client = client_of(request)
        if seconds := self._tries.seconds_blocked(client):
            return problem_response(request, 429, TOO_MANY.format(seconds=seconds), {"Retry-After": str(seconds)})
        if same(given.strip(), self._settings.api_token or ""):
            return None
        self._tries.record_failure(client)
        return problem_response(request, 401, WRONG, {"WWW-Authenticate": 'Bearer error="invalid_token"'})

    def _telling(self, request: Request, send: Send) -> Send:
        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                mutable = MutableHeaders(scope=message)
                headers.add_security_headers(mutable, self._settings, request.url.path)
                if word := getattr(request.state, "form_word", None):
                    mutable.append("Set-Cookie", csrf.cookie(csrf.COOKIE, word, secure=is_https(request)))
                # The path alone: Spotify's answer to a login comes in the query.
                log.debug("%s %s: %d", request.method, request.url.path, message["status"])
            await send(message)

        return telling


def _bounded(receive: Receive) -> Receive:
    """For a body that does not say how long it is."""
    length = 0

    async def bounded() -> Message:
        nonlocal length
        message = await receive()
        length += len(message.get("body", b""))
        if length > LARGEST:
            raise HTTPException(413, TOO_LARGE)
        return message

    return bounded


def _login_first(request: Request) -> Response:
    """A person is led to the form, and back to where they were."""
    known_as = {"WWW-Authenticate": "Bearer"}
    if not wants_page(request):
        return problem_response(request, 401, UNKNOWN, known_as)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    where = f"/login?next={quote(wanted)}" if request.method == "GET" else "/login"
    if "HX-Request" in request.headers:
        return problem_response(request, 401, UNKNOWN, {**known_as, "HX-Redirect": "/login"})
    return RedirectResponse(where, 303)


def allowed_hosts(settings: Settings) -> set[str]:
    configured = [settings.host, *settings.allowed_hosts.split(",")]
    return {"localhost", "127.0.0.1", "::1", *map(_configured, configured)} - {"", "0.0.0.0", "::"}


def _configured(name: str) -> str:
    """An IPv6 address may stand there without its brackets."""
    name = name.strip()
    return host_name(f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name)


def host_name(host: str) -> str:
    """Without its port, which a rebound name can have as it likes. Empty: it is none."""
    found = HOST.fullmatch(host)
    return found[1].strip("[]").rstrip(".").lower() if found else ""


def is_same_origin(request: Request) -> bool:
    """Whether a browser says so. Who says nothing is no browser of this decade: form tokens and JSON keep those out."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site in {"same-origin", "none"}
    source = origin if origin is not None else request.headers.get("Referer")
    return source is None or _address(source) == request.headers.get("Host", "").lower()


def _address(url: str) -> str:
    """Name and port. `null`, from a sandbox, has none. A proxy may speak https where we hear http."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def is_https(request: Request) -> bool:
    return request.url.scheme == "https"


def client_of(request: Request) -> str:
    return request.client.host if request.client else ""
