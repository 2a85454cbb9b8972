"""Request checks: API token, page session, Host and Origin, size. Adds the security headers to every response."""

import logging
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlsplit

import anyio
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spotisync.errors import SpotisyncError
from spotisync.settings import Settings
from spotisync.sync import Context
from spotisync.web.errors import problem_response, respond_to_error, wants_page
from spotisync.web.middleware import headers
from spotisync.web.middleware.body import MAX_BODY_BYTES, TOO_LARGE, read_body
from spotisync.web.middleware.login_attempts import LoginAttempts
from spotisync.web.paths import format_path, get_path, redirect
from spotisync.web.security import csrf
from spotisync.web.security.sessions import SESSION_COOKIE, BrowserCipher, is_ended, is_equal

log = logging.getLogger(__name__)

HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
SAFE_METHODS: Final = {"GET", "HEAD", "OPTIONS"}
SESSION_LOOKUPS: Final = 2
"""How many sessions are looked up at once."""
PUBLIC_PATHS: Final = ("/healthz", "/login", "/accounts/callback")
"""These need no token, nor does anything below /static/."""
UNKNOWN_HOST: Final = "Unknown host. Add it to SPOTISYNC_ALLOWED_HOSTS (names, separated by commas)."
CROSS_SITE: Final = "Cross-site requests are refused."
LOGIN_REQUIRED: Final = (
    "The API token is required (the value of SPOTISYNC_API_TOKEN). Send the header Authorization: Bearer TOKEN, or log "
    "in at {login}."
)
NOT_AUTHENTICATED: Final = "The token differs from SPOTISYNC_API_TOKEN."
TOO_MANY_ATTEMPTS: Final = "Too many wrong tokens from this address. Send the right one, or try again in {seconds} s."


def install(app: FastAPI, settings: Settings) -> None:
    """Check every request before it reaches a route. Raises `Misconfigured` if this address needs an API token."""
    settings.check_address()
    app.state.cipher = BrowserCipher(settings)
    app.state.login_attempts = LoginAttempts()
    app.add_middleware(Guard, context=app.state.context, cipher=app.state.cipher, attempts=app.state.login_attempts)


class Guard:
    """Plain ASGI middleware, so that event streams are not buffered."""

    def __init__(self, app: ASGIApp, context: Context, cipher: BrowserCipher, attempts: LoginAttempts) -> None:
        self._app = app
        self._context = context
        self._settings = context.settings
        self._cipher = cipher
        self._attempts = attempts
        self._hosts = get_allowed_hosts(context.settings)
        # Threads and database connections of their own, so that requests that wait for the database don't block these.
        self._lookups = anyio.CapacityLimiter(SESSION_LOOKUPS)
        self._checks: list[Callable[[Request], Response | None]] = [
            self._check_host,
            self._check_origin,
            self._check_size,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        send = self._add_headers(request, send)
        if refusal := await self._check(request):
            await refusal(scope, receive, send)
            return
        try:
            body = await read_body(receive)
        except HTTPException as error:
            await problem_response(request, error.status_code, error.detail, error.headers)(scope, receive, send)
        else:
            if body:
                await self._app(scope, body, send)

    async def _check(self, request: Request) -> Response | None:
        """Return the response to a request that is refused."""
        for check in self._checks:
            if refusal := check(request):
                return refusal
        return await self._check_token(request) if self._settings.api_token else None

    def _check_host(self, request: Request) -> Response | None:
        """Refuse names that an attacker has pointed at this address (DNS rebinding)."""
        hosts = request.headers.getlist("Host")
        if len(hosts) == 1 and parse_host(hosts[0]) in self._hosts:
            return None
        return problem_response(request, 421, UNKNOWN_HOST)

    def _check_origin(self, request: Request) -> Response | None:
        if request.method in SAFE_METHODS or is_same_origin(request):
            return None
        return problem_response(request, 403, CROSS_SITE)

    def _check_size(self, request: Request) -> Response | None:
        length = request.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) <= MAX_BODY_BYTES:
            return None
        return problem_response(request, 413, TOO_LARGE)

    async def _check_token(self, request: Request) -> Response | None:
        path = get_path(request.scope)
        if path in PUBLIC_PATHS or path.startswith("/static/"):
            return None
        session_id = self._cipher.get_session_id(request.cookies.get(SESSION_COOKIE, ""))
        try:
            if session_id and not await self._is_ended(session_id):
                return None
        except SpotisyncError as error:
            return respond_to_error(request, error)
        return self._check_bearer(request)

    async def _is_ended(self, session_id: str) -> bool:
        return await anyio.to_thread.run_sync(is_ended, self._context, session_id, limiter=self._lookups)

    def _check_bearer(self, request: Request) -> Response | None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return _require_login(request)
        if is_equal(given.strip(), self._settings.api_token or ""):
            return None
        if seconds := self._attempts.record_failure(get_client_address(request)):
            detail = TOO_MANY_ATTEMPTS.format(seconds=seconds)
            return problem_response(request, 429, detail, {"Retry-After": str(seconds)})
        return problem_response(request, 401, NOT_AUTHENTICATED, {"WWW-Authenticate": 'Bearer error="invalid_token"'})

    def _add_headers(self, request: Request, send: Send) -> Send:
        path = get_path(request.scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                mutable = MutableHeaders(scope=message)
                headers.add_security_headers(mutable, self._settings, path, message["status"])
                if form_id := getattr(request.state, "new_form_id", None):
                    mutable.append("Set-Cookie", csrf.format_cookie(request, csrf.FORM_COOKIE, form_id))
                # The query is not logged: it may contain the code of a Spotify login.
                log.debug("%s %s: %d", request.method, request.url.path, message["status"])
            await send(message)

        return send_with_headers


def _require_login(request: Request) -> Response:
    """Redirect a browser to the login form, and from there back to the page; refuse other clients."""
    challenge = {"WWW-Authenticate": "Bearer"}
    login = format_path(request, "/login")
    detail = LOGIN_REQUIRED.format(login=login)
    if not wants_page(request):
        return problem_response(request, 401, detail, challenge)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if "HX-Request" in request.headers:
        return problem_response(request, 401, detail, {**challenge, "HX-Redirect": login})
    return redirect(request, f"/login?next={quote(wanted)}" if request.method == "GET" else "/login")


def get_allowed_hosts(settings: Settings) -> set[str]:
    configured = [settings.host, *settings.allowed_hosts.split(",")]
    return {"localhost", "127.0.0.1", "::1", *map(_parse_configured, configured)} - {"", "0.0.0.0", "::"}


def _parse_configured(name: str) -> str:
    """An IPv6 address may be configured without brackets."""
    name = name.strip()
    return parse_host(f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name)


def parse_host(host: str) -> str:
    """Return the lower-case name without the port, or an empty string if it is malformed.

    The port is ignored because a rebound name can be used with any port.
    """
    found = HOST.fullmatch(host)
    return found[1].strip("[]").rstrip(".").lower() if found else ""


def is_same_origin(request: Request) -> bool:
    """Trust what the browser sends. Clients that send none of these headers are not modern browsers.

    Form tokens and the JSON content type protect against older browsers.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site in {"same-origin", "none"}
    source = origin if origin is not None else request.headers.get("Referer")
    return source is None or _parse_netloc(source) == request.headers.get("Host", "").lower()


def _parse_netloc(url: str) -> str:
    """Return name and port; empty for `null`, which sandboxed pages send. The scheme may be changed by a proxy."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def get_client_address(request: Request) -> str:
    return request.client.host if request.client else ""
