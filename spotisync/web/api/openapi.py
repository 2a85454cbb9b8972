"""The API's description: for programs at /openapi.json, for people at /docs, where nothing is loaded from elsewhere."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from spotisync.settings import Settings
from spotisync.web.dependencies import page
from spotisync.web.errors import Problem, problem_responses

router = APIRouter(include_in_schema=False)
Json = dict[str, Any]

ABOUT: Final[Json] = {
    "title": "spotisync",
    "version": version("spotisync"),
    "summary": "Your Spotify library in your own Postgres: start syncs, see how they stand.",
    "description": (
        "Errors are `application/problem+json`: `detail` says what is wrong, and the cure. Requests with a body are "
        "JSON. Times are ISO 8601. Documents may have more names than are told here; those that are told stay."
    ),
}
SCHEMES: Final[Json] = {
    "token": {"type": "http", "scheme": "bearer", "description": "What stands in SPOTISYNC_API_TOKEN"},
    "session": {"type": "apiKey", "in": "cookie", "name": "spotisync_session", "description": "The page's own login"},
}
OPEN: Final = {"/healthz"}


def describe(app: FastAPI, settings: Settings) -> None:
    """Let the document say what is true of this very process: whether it needs a token."""

    def document() -> Json:
        if app.openapi_schema is None:
            made = get_openapi(routes=app.routes, **ABOUT)
            made["components"]["schemas"]["Problem"] = Problem.model_json_schema()
            if settings.api_token:
                _ask_for_token(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _ask_for_token(document: Json) -> None:
    document["components"]["securitySchemes"] = SCHEMES
    for path, operations in document["paths"].items():
        if path in OPEN:
            continue
        for operation in operations.values():
            operation["security"] = [{name: []} for name in SCHEMES]
            refused = problem_responses(401, 429).items()
            operation["responses"] |= {str(status): response for status, response in refused}


# ---- for people -----------------------------------------------------------------------------------------------------


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
    return page(request, "docs.html", about=document["info"], groups=_groups(document), needs_token=_needs(document))


def _needs(document: Json) -> bool:
    return "securitySchemes" in document["components"]


def _groups(document: Json) -> dict[str, list[Operation]]:
    groups: dict[str, list[Operation]] = {}
    for tag, operation in _operations(document):
        groups.setdefault(tag, []).append(operation)
    return groups


def _operations(document: Json) -> Iterator[tuple[str, Operation]]:
    for path, operations in document["paths"].items():
        for method, said in operations.items():
            yield (
                (said.get("tags") or ["more"])[0],
                Operation(
                    method=method.upper(),
                    path=path,
                    summary=said.get("summary", ""),
                    description=said.get("description", ""),
                    parameters=[_parameter(each) for each in said.get("parameters", [])],
                    body=_example(document, said.get("requestBody")),
                    responses=[(code, each["description"]) for code, each in sorted(said["responses"].items())],
                    example=_answered(document, said["responses"]),
                ),
            )


def _parameter(said: Json) -> Json:
    schema = said["schema"]
    plain = next((each for each in schema.get("anyOf", []) if each.get("type") != "null"), schema)
    default = schema.get("default")
    return {
        "name": said["name"],
        "where": said["in"],
        "kind": plain.get("type", ""),
        "required": said.get("required", False),
        "description": said.get("description", ""),
        "default": "" if default is None else str(default),
    }


def _answered(document: Json, responses: Json) -> str | None:
    """An example of the first answer that is no error."""
    good = (responses[code] for code in sorted(responses) if code.startswith("2"))
    return next((example for each in good if (example := _example(document, each))), None)


def _example(document: Json, said: Json | None) -> str | None:
    """Of the first schema that has one."""
    for media in ((said or {}).get("content") or {}).values():
        if "example" in media:
            return str(media["example"])
        found = _of_schema(document, media.get("schema", {}))
        if found is not None:
            return json.dumps(found, indent=2, ensure_ascii=False)
    return None


def _of_schema(document: Json, schema: Json) -> Any:
    if "$ref" in schema:
        return _of_schema(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "example" in schema:
        return schema["example"]
    if schema.get("type") == "array":
        found = _of_schema(document, schema["items"])
        return None if found is None else [found]
    examples = (_of_schema(document, each) for each in schema.get("anyOf", []))
    return next((each for each in examples if each is not None), None)
