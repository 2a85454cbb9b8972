"""Error responses: problem documents (RFC 9457), or a page for browsers. The detail says how to fix it."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from spotisync.core import hints
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
from spotisync.web.middleware.headers import add_security_headers
from spotisync.web.paths import format_path, get_path
from spotisync.web.templating import render_page

E = TypeVar("E", bound=Exception)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5
"""Retry-After while a server can't be reached."""
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
DETAILS: Final = {
    404: "No such address. All addresses of the API: {docs}",
    405: "Method not allowed at this address. Allowed methods: {docs}",
}
OLD_SCHEMA: Final = "The schema is missing or out of date. Upgrade it with: spotisync db upgrade"


class Problem(BaseModel):
    """An error and how to fix it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Conflict",
                "status": 409,
                "detail": "Run 12 has already succeeded, so it can't be cancelled.",
                "instance": "/api/sync/12/cancel",
            }
        }
    )

    type: str = Field("about:blank", description="Always `about:blank`: `status` gives the kind of error")
    title: str = Field(description="Reason phrase of the status")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What failed and how to fix it")
    instance: str = Field(description="Path of the request")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses for these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def problem_response(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    title = HTTPStatus(status).phrase
    if wants_page(request):
        whole = "HX-Request" not in request.headers
        shown = render_page(request, "problem.html", status_code=status, title=title, detail=detail, whole=whole)
        shown.headers.update(headers or {})
        return shown
    problem = Problem(title=title, status=status, detail=detail, instance=request.url.path)
    return JSONResponse(problem.model_dump(), status, headers, MEDIA_TYPE)


def wants_page(request: Request) -> bool:
    if get_path(request.scope).startswith("/api/"):
        return False
    return "text/html" in request.headers.get("Accept", "") or "HX-Request" in request.headers


def install(app: FastAPI) -> None:
    """Turn every error of the application into a problem response."""
    _add_handler(app, SpotisyncError, respond_to_error)
    _add_handler(app, HTTPException, _handle_http_exception)
    _add_handler(app, RequestValidationError, _handle_validation_error)
    _add_handler(app, Exception, _handle_unexpected_error)


def _add_handler(app: FastAPI, kind: type[E], handler: Callable[[Request, E], Response]) -> None:
    app.add_exception_handler(kind, handler)  # type: ignore[arg-type]  # Starlette's type has no parameter for `kind`


def get_status(error: SpotisyncError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def respond_to_error(request: Request, error: SpotisyncError) -> Response:
    status = get_status(error)
    seconds = max(1, round(error.seconds)) if isinstance(error, Wait) else RETRY_AFTER_SECONDS
    headers = {"Retry-After": str(seconds)} if status == 503 else None
    hint = hints.database_hint(embedded=request.app.state.settings.embedded_postgres)
    detail = f"{error}; {hint}. Details: spotisync doctor" if isinstance(error, Unavailable) else str(error)
    return problem_response(request, status, detail, headers)


def _handle_http_exception(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    # Only our own texts are formats: another one may quote the request.
    if error.status_code in DETAILS and detail == HTTPStatus(error.status_code).phrase:
        detail = DETAILS[error.status_code].format(docs=format_path(request, "/docs"))
    return problem_response(request, error.status_code, detail, error.headers)


def _handle_validation_error(request: Request, error: RequestValidationError) -> Response:
    """The rejected values are not repeated: they may be secrets."""
    wrong = (f"{_get_field(each['loc'])}: {each['msg']}" for each in error.errors())
    return problem_response(request, 422, "; ".join(wrong))


def _get_field(location: tuple[str | int, ...]) -> str:
    return ".".join(str(each) for each in location[1:] if not isinstance(each, int)) or str(location[0])


def _handle_unexpected_error(request: Request, error: Exception) -> Response:
    """The error's text goes to the log only: it may quote a secret.

    This response does not pass through the guard, which adds the security headers to all others.
    """
    if getattr(getattr(error, "orig", None), "sqlstate", None) in {"42P01", "42703"}:
        response = problem_response(request, 503, OLD_SCHEMA, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    else:
        response = problem_response(request, 500, f"Unexpected error ({type(error).__name__}). Details are in the log.")
    add_security_headers(response.headers, request.app.state.settings)
    return response
