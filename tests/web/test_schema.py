"""Responses match the OpenAPI document for any request."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.store import Store
from tests.web.conftest import TOKEN

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
# The event stream never ends; test_events tests it.
ENDLESS = "/api/sync/events"
# These query the broker, which does not run here; test_health tests them.
PROBES = ["/readyz", "/metrics"]


@pytest.fixture
def app(make_app: Callable[..., FastAPI], store: Store) -> FastAPI:
    """An application with the account of the examples, runs with low ids in every state, and phases with progress."""
    store.sql("UPDATE accounts SET spotify_user_id = 'alice'")
    store.sql("ALTER TABLE sync_history ALTER COLUMN id RESTART")
    for status in ("success", "failed", "cancelled", "failed"):
        store.run(status=status, completed_at="now()")
    store.run("incremental", status="rate_limited")
    store.sql(
        "UPDATE sync_state SET status = 'in_progress', total_items = 9, items_processed = 3, percent_complete = 33.3"
    )
    store.block("library", 7200)
    return make_app(allowed_hosts="testserver", api_token=TOKEN)


def operations(app: FastAPI) -> Iterator[Any]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Authorization": f"Bearer {TOKEN}"})
    for found in schema.exclude(path=[ENDLESS, *PROBES]).get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


def check(operation: Any, cases: int) -> list[int]:
    """Send valid and invalid requests, check the responses against the document, and return their status codes."""
    takes = bool(list(operation.iter_parameters()) or operation.body)
    wrong = _check(operation, cases // 2, GenerationMode.NEGATIVE) if takes else []
    return [*wrong, *_check(operation, cases - len(wrong), GenerationMode.POSITIVE)]


def _check(operation: Any, cases: int, mode: GenerationMode) -> list[int]:
    seen: list[int] = []

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = case.call(headers=headers)
        seen.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS, headers=headers)

    send()
    return seen


@pytest.mark.slow
def test_a_few_requests_of_each_kind_match_the_schema(app: FastAPI) -> None:
    assert sum(len(check(operation, 8)) for operation in operations(app)) >= 40


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_thousand_requests_match_the_schema(app: FastAPI) -> None:
    kinds, seen = list(operations(app)), list[int]()
    while len(seen) < 2000:
        seen += [status for operation in kinds for status in check(operation, 340)]
    assert {200, 202, 404, 409, 422} <= set(seen), sorted(set(seen))


def test_the_schema_describes_this_process(make_app: Callable[..., FastAPI]) -> None:
    locked, free = make_app(api_token=TOKEN).openapi(), make_app().openapi()
    assert "401" in locked["paths"]["/api/sync"]["post"]["responses"]
    assert "securitySchemes" not in free["components"]
    assert {"/api/sync", ENDLESS, "/api/sync/{sync_id}", "/api/sync/history", "/healthz"} <= set(free["paths"])
    assert [name for name in free["components"]["schemas"] if "HTTPValidation" in name] == []
    assert not [path for path in free["paths"] if path in {"/login", "/docs", "/logout"}]
