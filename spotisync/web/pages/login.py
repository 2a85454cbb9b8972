"""The page's own login: the token, typed once, becomes a session in a cookie."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from spotisync.web.dependencies import page
from spotisync.web.security import csrf
from spotisync.web.security.csrf import FromThePage
from spotisync.web.security.sessions import WEEKS, same

router = APIRouter(include_in_schema=False)

WRONG: Final = "That is not the token. It stands in SPOTISYNC_API_TOKEN, where spotisync runs."
TOO_MANY: Final = "Too many wrong tokens; try again in {seconds} s."


@router.get("/login")
def login(request: Request, next: str = "/") -> Response:  # noqa: A002 (the query's name)
    if request.app.state.settings.api_token is None or _has_session(request):
        return RedirectResponse(own_path(next), 303)
    return page(request, "login.html", next=own_path(next))


@router.post("/login", dependencies=[FromThePage])
def log_in(request: Request, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/") -> Response:  # noqa: A002
    wanted, expected = own_path(next), request.app.state.settings.api_token
    if expected is None:
        return RedirectResponse(wanted, 303)
    client, tries = request.client.host if request.client else "", request.app.state.tries
    if seconds := tries.seconds_blocked(client, on_page=True):
        said = page(request, "login.html", status_code=429, next=wanted, error=TOO_MANY.format(seconds=seconds))
        said.headers["Retry-After"] = str(seconds)
        return said
    if not same(token.strip(), expected):
        tries.record_failure(client)
        return page(request, "login.html", status_code=401, next=wanted, error=WRONG)
    return _with_session(request, request.app.state.seal.session(), WEEKS, wanted)


@router.post("/logout", dependencies=[FromThePage])
def log_out(request: Request) -> Response:
    """This browser forgets it. To end every session everywhere: another SPOTISYNC_API_TOKEN."""
    return _with_session(request, "", 0, "/login")


def own_path(wanted: str) -> str:
    """A path of ours, or the front page: a link to the login must not lead anybody elsewhere."""
    is_own = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_own and wanted.isascii() and "\\" not in wanted else "/"


def _has_session(request: Request) -> bool:
    session = request.cookies.get(csrf.SESSION)
    return bool(session and request.app.state.seal.is_session(session))


def _with_session(request: Request, session: str, seconds: int, where: str) -> Response:
    response = RedirectResponse(where, 303)
    secure = request.url.scheme == "https"
    response.headers.append("Set-Cookie", csrf.cookie(csrf.SESSION, session, secure=secure, seconds=seconds))
    return response
