"""Is it alive, is it ready, what does it count: for who runs it."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from spotisync.celery import app as celery
from spotisync.core import hints
from spotisync.errors import Unavailable
from spotisync.settings import Settings
from spotisync.status import metrics as gauges
from spotisync.store import migrate
from spotisync.store.database import get_server_version
from spotisync.sync import Context
from spotisync.web import broker
from spotisync.web.bounded import SingleFlight
from spotisync.web.dependencies import Using
from spotisync.web.ops import metrics

router = APIRouter(tags=["probes"])
READY_SECONDS: Final = 2.0
# Prometheus itself waits for ten.
SCRAPE_SECONDS: Final = 5.0
Check = dict[str, Any]


@dataclass(frozen=True)
class HealthChecks:
    """One of each for a process, so that a server that is frozen holds one thread for each question and no more."""

    database: SingleFlight[str]
    migrations: SingleFlight[tuple[str | None, str | None]]
    broker: SingleFlight[None]
    queues: SingleFlight[dict[str, int]]
    metrics: SingleFlight[metrics.Scrape]

    @classmethod
    def of(cls, context: Context) -> "HealthChecks":
        queues = SingleFlight(lambda: broker.queue_lengths(celery))
        return cls(
            SingleFlight(lambda: _version(context)),
            SingleFlight(lambda: _migrations(context)),
            SingleFlight(lambda: broker.ping_broker(celery)),
            queues,
            SingleFlight(lambda: _read(context, queues)),
        )


def _probes(request: Request, context: Context) -> HealthChecks:
    found: HealthChecks | None = getattr(request.app.state, "probes", None)
    if found is None:
        found = request.app.state.probes = HealthChecks.of(context)
    return found


@router.get("/healthz", summary="Is it alive?")
async def healthz() -> dict[str, str]:
    """This process answers. It asks nobody: a restart would not bring a server back."""
    return {"status": "ok"}


# ---- ready ----------------------------------------------------------------------------------------------------------


@router.get(
    "/readyz", summary="Is it ready?", responses={503: {"description": "One of them is not; each says what to do."}}
)
def readyz(request: Request, context: Using) -> JSONResponse:
    """Whether the database and the broker answer, and the tables are those of this version. Within two seconds."""
    checks = run_checks(_probes(request, context), context.settings)
    is_ready = all(check["ok"] for check in checks.values())
    document = {"status": "ready" if is_ready else "not ready", "checks": checks}
    return JSONResponse(document, 200 if is_ready else 503, headers={"Cache-Control": "no-store"})


def run_checks(probes: HealthChecks, settings: Settings) -> dict[str, Check]:
    deadline = time.monotonic() + READY_SECONDS
    version, tables, answered = probes.database.ask(), probes.migrations.ask(), probes.broker.ask()
    database = _check(version, deadline, hints.database_hint(embedded=settings.embedded_postgres))
    if database["ok"]:
        database["says"] = f"PostgreSQL {version.result()}"
    return {
        "database": database,
        "migrations": _tables(tables, deadline, database),
        "broker": _check(answered, deadline, hints.BROKER),
    }


def _check(asked: "Future[Any]", deadline: float, cure: str) -> Check:
    try:
        asked.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return {"ok": False, "says": f"no answer within {READY_SECONDS:.0f} seconds", "cure": cure}
    except Unavailable as error:
        return {"ok": False, "says": str(error), "cure": cure}
    except Exception as error:  # noqa: BLE001 (each transport has its own kinds)
        # Not its text: that may hold an address with a password.
        return {"ok": False, "says": f"it can't be reached ({type(error).__name__})", "cure": cure}
    return {"ok": True, "says": "it answers"}


def _tables(asked: "Future[tuple[str | None, str | None]]", deadline: float, database: Check) -> Check:
    if not database["ok"]:
        return {"ok": False, "says": "not known while the database is away", "cure": database["cure"]}
    found = _check(asked, deadline, hints.MIGRATE)
    if not found["ok"]:
        return found
    there, needed = asked.result()
    if there != needed:
        says = f"at {there or 'nothing'}, this version needs {needed}"
        return {"ok": False, "says": says, "cure": hints.MIGRATE}
    return {"ok": True, "says": f"at {there}, as this version needs them"}


def _version(context: Context) -> str:
    with context.database.begin() as connection:
        gauges.limit_statement_time(connection, READY_SECONDS)
        return get_server_version(connection)


def _migrations(context: Context) -> tuple[str | None, str | None]:
    with context.database.begin() as connection:
        gauges.limit_statement_time(connection, READY_SECONDS)
        return migrate.get_current_revision(connection), migrate.get_needed_revision()


# ---- what it counts -------------------------------------------------------------------------------------------------


@router.get(
    "/metrics",
    summary="What it counts, for Prometheus",
    response_class=Response,
    responses={503: {"description": "The database does not answer."}},
)
def get_metrics(request: Request, context: Using) -> Response:
    """For Prometheus, in the format that it asks for."""
    try:
        reading = _probes(request, context).metrics.ask().result(SCRAPE_SECONDS)
    except (TimeoutError, Unavailable) as error:
        return _away(
            str(error) or f"the database does not answer within {SCRAPE_SECONDS:.0f} seconds", context.settings
        )
    encode, content_type = _encoder(request.headers.get("Accept", ""))
    return Response(encode(reading), media_type=content_type)


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """One that there is, whatever is asked for: a version that is no number trips prometheus_client."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


def _away(why: str, settings: Settings) -> JSONResponse:
    cure = hints.database_hint(embedded=settings.embedded_postgres)
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": f"{why}; {cure}"}
    return JSONResponse(problem, 503, media_type="application/problem+json")


def _read(context: Context, queues: SingleFlight[dict[str, int]]) -> metrics.Scrape:
    lengths = _lengths(queues.ask())
    with context.database.begin() as connection:
        gauges.limit_statement_time(connection, SCRAPE_SECONDS)
        return metrics.read(connection, context.settings.require_client_id(), lengths)


def _lengths(waiting: "Future[dict[str, int]]") -> dict[str, int] | None:
    """None while the broker does not answer quickly: the tables are worth more than its queues."""
    try:
        return waiting.result(broker.PATIENCE_SECONDS)
    except Exception:  # noqa: BLE001 (each transport has its own kinds)
        return None
