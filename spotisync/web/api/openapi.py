"""The OpenAPI document at /openapi.json and its HTML rendering at /docs, which loads nothing from other sites."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from spotisync.settings import Settings
from spotisync.web.errors import Problem, problem_responses
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)
Json = dict[str, Any]

ABOUT: Final[Json] = {
    "title": "spotisync",
    "version": version("spotisync"),
    "summary": "Your Spotify library in your own PostgreSQL: start syncs and follow their progress.",
    "description": (
        "Errors are `application/problem+json`; `detail` says what failed and how to fix it. Request bodies are JSON. "
        "Times are ISO 8601. Responses may gain fields; documented ones remain."
    ),
}
SCHEMES: Final[Json] = {
    "token": {"type": "http", "scheme": "bearer", "description": "The value of SPOTISYNC_API_TOKEN"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "spotisync_session",
        "description": "Session of the login page",
    },
}
PUBLIC_PATHS: Final = {"/healthz"}


def describe(app: FastAPI, settings: Settings) -> None:
    """Install the OpenAPI document; it requires a token only if this process does."""

    def get_document() -> Json:
        if app.openapi_schema is None:
            document = get_openapi(routes=app.routes, **ABOUT)
            document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
            if settings.api_token:
                _require_token(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = get_document  # type: ignore[method-assign]


def _require_token(document: Json) -> None:
    document["components"]["securitySchemes"] = SCHEMES
    for path, operations in document["paths"].items():
        if path in PUBLIC_PATHS:
            continue
        for operation in operations.values():
            operation["security"] = [{name: []} for name in SCHEMES]
            refused = problem_responses(401, 429).items()
            operation["responses"] |= {str(status): response for status, response in refused}


# ---- /docs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Json]
    body: str | None
    responses: list[tuple[str, str]]
    example: str | None

    @property
    def anchor(self) -> str:
        return f"{self.method}{self.path}".translate(str.maketrans("/{}", "---")).lower().rstrip("-")


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    document = request.app.openapi()
    return render_page(
        request,
        "docs.html",
        about=document["info"],
        operations=list(_get_operations(document)),
        needs_token="securitySchemes" in document["components"],
    )


def _get_operations(document: Json) -> Iterator[Operation]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield Operation(
                method=method.upper(),
                path=path,
                summary=operation.get("summary", ""),
                description=operation.get("description", ""),
                parameters=[_get_parameter(each) for each in operation.get("parameters", [])],
                body=_get_example(document, operation.get("requestBody")),
                responses=[(code, each["description"]) for code, each in sorted(operation["responses"].items())],
                example=_get_response_example(document, operation["responses"]),
            )


def _get_parameter(parameter: Json) -> Json:
    default = parameter["schema"].get("default")
    return {
        "name": parameter["name"],
        "location": parameter["in"],
        "required": parameter.get("required", False),
        "description": parameter.get("description", ""),
        "default": "" if default is None else str(default),
    }


def _get_response_example(document: Json, responses: Json) -> str | None:
    """Return the first example of a successful response."""
    successful = (responses[code] for code in sorted(responses) if code.startswith("2"))
    return next((example for each in successful if (example := _get_example(document, each))), None)


def _get_example(document: Json, body: Json | None) -> str | None:
    """Return the first example of a request or response body."""
    for media in ((body or {}).get("content") or {}).values():
        if "example" in media:
            return str(media["example"])
        found = _find_schema_example(document, media.get("schema", {}))
        if found is not None:
            return json.dumps(found, indent=2, ensure_ascii=False)
    return None


def _find_schema_example(document: Json, schema: Json) -> Any:
    if "$ref" in schema:
        return _find_schema_example(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "example" in schema:
        return schema["example"]
    if schema.get("type") == "array":
        found = _find_schema_example(document, schema["items"])
        return None if found is None else [found]
    examples = (_find_schema_example(document, each) for each in schema.get("anyOf", []))
    return next((each for each in examples if each is not None), None)
