"""The login page: exchanges the API token for a session cookie."""

from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from spotisync.sync import Context, web_sessions
from spotisync.web.dependencies import ContextDep, get_cipher
from spotisync.web.middleware.guard import get_client_address
from spotisync.web.middleware.login_attempts import LoginAttempts
from spotisync.web.paths import format_path, get_root
from spotisync.web.security.csrf import RequireCsrfToken, format_cookie
from spotisync.web.security.sessions import SESSION_COOKIE, SESSION_SECONDS, is_ended, is_equal
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)

LOGIN_REFUSED: Final = "Wrong token. Use the value of SPOTISYNC_API_TOKEN from the server's environment."
TOO_MANY_ATTEMPTS: Final = "Too many wrong tokens. Enter the right one, or try again in {seconds} s."


@router.get("/login")
def show_login(request: Request, context: ContextDep, wanted: Annotated[str, Query(alias="next")] = "/") -> Response:
    wanted = get_local_path(wanted, get_root(request.scope))
    if request.app.state.settings.api_token is None or _has_session(request, context):
        return RedirectResponse(wanted, 303)
    return render_page(request, "login.html", next=wanted)


@router.post("/login", dependencies=[RequireCsrfToken])
def log_in(
    request: Request, token: Annotated[str, Form()] = "", wanted: Annotated[str, Form(alias="next")] = "/"
) -> Response:
    location = get_local_path(wanted, get_root(request.scope))
    expected = request.app.state.settings.api_token
    if expected is None:
        return RedirectResponse(location, 303)
    if is_equal(token.strip(), expected):
        return _set_session(request, get_cipher(request).create_session(), SESSION_SECONDS, location)
    attempts: LoginAttempts = request.app.state.login_attempts
    if seconds := attempts.record_failure(get_client_address(request)):
        error = TOO_MANY_ATTEMPTS.format(seconds=seconds)
        response = render_page(request, "login.html", status_code=429, next=location, error=error)
        response.headers["Retry-After"] = str(seconds)
        return response
    return render_page(request, "login.html", status_code=401, next=location, error=LOGIN_REFUSED)


@router.post("/logout", dependencies=[RequireCsrfToken])
def log_out(request: Request, context: ContextDep) -> Response:
    """End the session and delete its cookie. Changing SPOTISYNC_API_TOKEN ends all sessions."""
    if session_id := _get_session_id(request):
        web_sessions.end(context, session_id, SESSION_SECONDS)
    return _set_session(request, "", 0, format_path(request, "/login"))


def get_local_path(wanted: str, root: str = "") -> str:
    """Return a path below the root path, or the front page, so that a link to the login can't redirect elsewhere."""
    path = wanted.removeprefix(root) if f"{wanted}/".startswith(f"{root}/") else wanted
    is_local = path.startswith("/") and not path.startswith("//") and path.isascii() and path.isprintable()
    has_parent = ".." in unquote(path.partition("?")[0]).split("/")
    return root + (path if is_local and not has_parent and "\\" not in path else "/")


def _get_session_id(request: Request) -> str | None:
    return get_cipher(request).get_session_id(request.cookies.get(SESSION_COOKIE, ""))


def _has_session(request: Request, context: Context) -> bool:
    session_id = _get_session_id(request)
    return session_id is not None and not is_ended(context, session_id)


def _set_session(request: Request, session: str, seconds: int, location: str) -> Response:
    response = RedirectResponse(location, 303)
    response.headers.append("Set-Cookie", format_cookie(request, SESSION_COOKIE, session, seconds=seconds))
    return response
