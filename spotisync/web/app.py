"""The FastAPI application: its routers, middleware and shared state."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from spotisync import canvas
from spotisync.settings import Settings
from spotisync.store.runs import Run
from spotisync.sync import Context
from spotisync.web import errors
from spotisync.web.actions import SyncActions
from spotisync.web.api import accounts as accounts_api
from spotisync.web.api import budget as budget_api
from spotisync.web.api import openapi, sync
from spotisync.web.live import events
from spotisync.web.middleware import concurrency, guard, head, proxy
from spotisync.web.ops import health
from spotisync.web.pages import accounts, budget, changes, home, items, library, login, runs, stats, vanished

STATIC = Path(__file__).parent / "static"
# Events come before the API, whose /api/sync/{sync_id} would match /api/sync/events.
PARTS = (
    events, sync, accounts_api, budget_api, health, home, runs, library, stats, vanished, changes, items, budget,
    accounts, login, openapi,
)  # fmt: skip
# Used only where OpenTelemetry is set up. What is polled, or open for hours, is not traced.
UNTRACED = ("/healthz", "/readyz", "/metrics", "/events")
TRACES: Any = {
    "operation_spans": False,
    "exclude": lambda scope: scope["path"].endswith(UNTRACED) or "/static/" in scope["path"],
}


def create_app(
    settings: Settings,
    *,
    publish: Callable[[Run], bool] = canvas.publish,
    request_sweep: Callable[[], None] = canvas.request_sweep,
) -> FastAPI:
    """Raises `Misconfigured` if a required setting is missing."""
    app = FastAPI(lifespan=_run_broadcast, docs_url=None, redoc_url=None, telemetry=TRACES, **openapi.ABOUT)
    app.state.settings = settings
    app.state.context = Context.from_settings(settings)
    app.state.actions = SyncActions(app.state.context, publish, request_sweep)
    events.install(app)
    health.install(app)
    home.install(app)
    head.install(app)
    concurrency.install(app)
    guard.install(app, settings)
    proxy.install(app, settings)
    errors.install(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for module in PARTS:
        app.include_router(module.router)
    openapi.describe(app, settings)
    return app


@asynccontextmanager
async def _run_broadcast(app: FastAPI) -> AsyncIterator[None]:
    async with events.run_broadcast(app):
        yield
    app.state.context.close()
