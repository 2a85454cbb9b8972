"""Liveness, readiness and Prometheus metrics."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from spotisync.broker import BROKER_SECONDS, get_queue_lengths, ping_broker
from spotisync.celery import app as celery
from spotisync.core import broker_errors, hints
from spotisync.errors import Unavailable
from spotisync.settings import Settings
from spotisync.status import metrics as gauges
from spotisync.store import migrate
from spotisync.store.database import get_server_version
from spotisync.sync import Context
from spotisync.sync.budgets import get_developer
from spotisync.web.dependencies import ContextDep
from spotisync.web.errors import problem_responses
from spotisync.web.ops import metrics

router = APIRouter(tags=["health"])
READY_SECONDS: Final = 2.0
SCRAPE_SECONDS: Final = 5.0
"""Less than Prometheus' default timeout of 10 s."""
Check = dict[str, Any]
T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs a function in a thread, one call at a time; concurrent callers share the result.

    A server that hangs therefore blocks one thread, however often it is asked.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._current: Future[T] | None = None

    def start(self) -> "Future[T]":
        with self._lock:
            if self._current is None or self._current.done():
                self._current = Future()
                # A daemon thread, so that a server that never answers does not keep this process from exiting.
                threading.Thread(target=self._run, args=(self._current,), daemon=True).start()
            return self._current

    def _run(self, future: "Future[T]") -> None:
        try:
            future.set_result(self._function())
        except Exception as error:  # noqa: BLE001 (raised by the future's result())
            future.set_exception(error)


@dataclass(frozen=True)
class HealthChecks:
    """The calls to other servers, shared by all requests of this process."""

    database: SingleFlight[str]
    migrations: SingleFlight[tuple[str | None, str | None]]
    broker: SingleFlight[None]
    queues: SingleFlight[dict[str, int]]
    metrics: SingleFlight[metrics.Scrape]

    @classmethod
    def create(cls, context: Context) -> "HealthChecks":
        queues = SingleFlight(lambda: get_queue_lengths(celery))
        return cls(
            SingleFlight(lambda: _get_server_version(context)),
            SingleFlight(lambda: _get_revisions(context)),
            SingleFlight(lambda: ping_broker(celery)),
            queues,
            SingleFlight(lambda: _read_metrics(context, queues)),
        )


def install(app: FastAPI) -> None:
    app.state.health = HealthChecks.create(app.state.context)


@router.get("/healthz", summary="Liveness")
async def healthz() -> dict[str, str]:
    """Succeeds while this process serves requests. Other servers are not checked: a restart would not fix them."""
    return {"status": "ok"}


# ---- readiness ------------------------------------------------------------------------------------------------------


@router.get(
    "/readyz", summary="Readiness", responses={503: {"description": "A check failed; each one says how to fix it."}}
)
def readyz(request: Request, context: ContextDep) -> JSONResponse:
    """Checks database, schema version and broker. Answers within about two seconds."""
    checks = run_checks(request.app.state.health, context.settings)
    is_ready = all(check["ok"] for check in checks.values())
    document = {"status": "ready" if is_ready else "not ready", "checks": checks}
    return JSONResponse(document, 200 if is_ready else 503, headers={"Cache-Control": "no-store"})


def run_checks(health: HealthChecks, settings: Settings) -> dict[str, Check]:
    deadline = time.monotonic() + READY_SECONDS
    version, revisions, broker = health.database.start(), health.migrations.start(), health.broker.start()
    database = _wait_for(version, deadline, hints.database_hint(embedded=settings.embedded_postgres))
    if database["ok"]:
        database["says"] = f"PostgreSQL {version.result()}"
    return {
        "database": database,
        "migrations": _check_revisions(revisions, deadline, database),
        "broker": _check_broker(broker, deadline, settings.broker),
    }


def _wait_for(future: "Future[Any]", deadline: float, hint: str) -> Check:
    try:
        future.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return {"ok": False, "says": f"no answer within {READY_SECONDS:.0f} s", "cure": hint}
    except Unavailable as error:
        return {"ok": False, "says": str(error), "cure": hint}
    except Exception as error:  # noqa: BLE001 (each broker transport raises its own errors)
        # The error's text is omitted: it may contain a URL with a password.
        return {"ok": False, "says": f"can't be reached ({type(error).__name__})", "cure": hint}
    return {"ok": True, "says": "reachable"}


def _check_broker(future: "Future[None]", deadline: float, url: str) -> Check:
    check = _wait_for(future, deadline, hints.BROKER)
    if future.done() and (error := future.exception()):
        check["says"], check["cure"] = broker_errors.explain(error, url, "SPOTISYNC_BROKER_URL")
    return check


def _check_revisions(future: "Future[tuple[str | None, str | None]]", deadline: float, database: Check) -> Check:
    if not database["ok"]:
        return {"ok": False, "says": "unknown while the database can't be reached", "cure": database["cure"]}
    check = _wait_for(future, deadline, hints.MIGRATE)
    if not check["ok"]:
        return check
    current, needed = future.result()
    if newer := migrate.find_newer_revision(current):
        return {"ok": False, "says": newer.message, "cure": newer.cure}
    if current != needed:
        says = f"the schema is at {current or 'no revision'}, this version needs {needed}"
        return {"ok": False, "says": says, "cure": hints.MIGRATE}
    return {"ok": True, "says": f"at {current}, the revision of this version"}


def _get_server_version(context: Context) -> str:
    with context.database.begin() as connection:
        gauges.limit_statement_time(connection, READY_SECONDS)
        return get_server_version(connection)


def _get_revisions(context: Context) -> tuple[str | None, str | None]:
    with context.database.begin() as connection:
        gauges.limit_statement_time(connection, READY_SECONDS)
        return migrate.get_current_revision(connection), migrate.get_needed_revision()


# ---- metrics --------------------------------------------------------------------------------------------------------


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses=problem_responses(503))
def get_metrics(request: Request) -> Response:
    """In the Prometheus text format or in OpenMetrics, as requested by the scraper."""
    try:
        scrape = request.app.state.health.metrics.start().result(SCRAPE_SECONDS)
    except TimeoutError:
        raise Unavailable(f"the database does not answer within {SCRAPE_SECONDS:.0f} s") from None
    encode, content_type = _choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(scrape), media_type=content_type)


def _choose_encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """prometheus_client fails on a version that is not a number; such a scraper gets the default format."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


def _read_metrics(context: Context, queues: SingleFlight[dict[str, int]]) -> metrics.Scrape:
    lengths = _wait_for_lengths(queues.start())
    with context.database.begin() as connection:
        gauges.limit_statement_time(connection, SCRAPE_SECONDS)
        return metrics.read(connection, get_developer(context, context.default_app), lengths)


def _wait_for_lengths(future: "Future[dict[str, int]]") -> dict[str, int] | None:
    """Return None if the broker does not answer in time; the other metrics are still exposed."""
    try:
        return future.result(BROKER_SECONDS)
    except Exception:  # noqa: BLE001 (each broker transport raises its own errors)
        return None
