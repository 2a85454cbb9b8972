"""Errors as documents (RFC 9457), or as a page for whoever asked for one. The detail names the cure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from spotisync.errors import (
    Fatal,
    IllegalMove,
    Misconfigured,
    Refused,
    SpotisyncError,
    Transient,
    Unavailable,
    Unknown,
    Wait,
)
from spotisync.web.dependencies import page
from spotisync.web.middleware import headers as safe_headers

MEDIA_TYPE: Final = "application/problem+json"
AWAY: Final = 5
"""Seconds after which whoever was told that a server is away may ask again."""
STATUS: Final = (
    (Unknown, 404),
    (Misconfigured, 500),
    (Fatal, 409),
    (IllegalMove, 409),
    (Refused, 502),
    (Unavailable, 503),
    (Transient, 503),
    (Wait, 503),
)
CURES: Final = {
    404: "There is nothing at this address. What there is: /docs",
    405: "This address takes another method; which one: /docs",
}
NO_TABLES: Final = "The database has no tables of ours yet, or old ones; bring them up to date: spotisync db upgrade"


class Problem(BaseModel):
    """What went wrong, and what to do about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Conflict",
                "status": 409,
                "detail": "a run that is success can't become cancelled; it can become nothing: it is over",
                "instance": "/api/sync/12/cancel",
            }
        }
    )

    type: str = Field("about:blank", description="Always this: the status says what kind it is")
    title: str = Field(description="The status in words")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong, and the cure, in words")
    instance: str = Field(description="The path that was asked for")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: answers of this kind."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def problem_response(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    title = HTTPStatus(status).phrase
    if wants_page(request):
        whole = "HX-Request" not in request.headers
        shown = page(request, "problem.html", status_code=status, title=title, detail=detail, whole=whole)
        shown.headers.update(headers or {})
        return shown
    problem = Problem(title=title, status=status, detail=detail, instance=request.url.path)
    return JSONResponse(problem.model_dump(), status, headers, MEDIA_TYPE)


def wants_page(request: Request) -> bool:
    if request.url.path.startswith("/api/"):
        return False
    return "text/html" in request.headers.get("Accept", "") or "HX-Request" in request.headers


def install(app: FastAPI) -> None:
    """Every error of the application becomes one of these."""
    app.add_exception_handler(SpotisyncError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unforeseen)


def status_of(error: SpotisyncError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, SpotisyncError)  # noqa: S101 (registered for these)
    status = status_of(error)
    headers = {"Retry-After": str(_seconds(error))} if status == 503 else None
    cure = f". {_cure(request)}" if isinstance(error, Unavailable) else ""
    return problem_response(request, status, f"{error}{cure}", headers)


def _cure(request: Request) -> str:
    if request.app.state.settings.embedded_postgres:
        return "The embedded one runs while spotisync does; start it with: spotisync up"
    return "Is the server up, and SPOTISYNC_DATABASE_URL right? spotisync doctor says what is wrong"


def _seconds(error: SpotisyncError) -> int:
    return max(1, round(error.seconds)) if isinstance(error, Wait) else AWAY


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    plain = error.detail == HTTPStatus(error.status_code).phrase
    detail = CURES.get(error.status_code, error.detail) if plain else error.detail
    return problem_response(request, error.status_code, detail, error.headers)


def _invalid(request: Request, error: Exception) -> Response:
    """What was sent is not repeated: it may be a secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    wrong = (f"{_place(each['loc'])}: {each['msg']}" for each in error.errors())
    return problem_response(request, 422, "; ".join(wrong))


def _place(location: tuple[str | int, ...]) -> str:
    return ".".join(str(each) for each in location[1:] if not isinstance(each, int)) or str(location[0])


def _unforeseen(request: Request, error: Exception) -> Response:
    """Its text stays in the log: an error that nobody foresaw may quote a secret.

    The answer passes by the guard, which adds headers to all others.
    """
    no_tables = getattr(getattr(error, "orig", None), "sqlstate", None) in {"42P01", "42703"}
    if no_tables:
        response = problem_response(request, 503, NO_TABLES, {"Retry-After": str(AWAY)})
    else:
        response = problem_response(
            request, 500, f"That should not happen: {type(error).__name__}. The log says where."
        )
    safe_headers.add_security_headers(response.headers, request.app.state.settings)
    return response
