"""The application: which rooms it has, and what they share."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from spotisync import canvas
from spotisync.settings import Settings
from spotisync.store.runs import Run
from spotisync.sync import Context
from spotisync.web import errors
from spotisync.web.actions import SyncActions
from spotisync.web.api import openapi, sync
from spotisync.web.live import events
from spotisync.web.middleware import concurrency, guard
from spotisync.web.ops import health
from spotisync.web.pages import accounts, home, library, runs

STATIC = Path(__file__).parent / "static"


def create_app(
    settings: Settings,
    *,
    publish: Callable[[Run], bool] = canvas.publish,
    sweep_soon: Callable[[], None] = canvas.request_sweep,
) -> FastAPI:
    """One process' worth of it. Raises `Misconfigured` where it must not listen, or a setting is missing."""
    app = FastAPI(lifespan=_while_it_runs, docs_url=None, redoc_url=None, **openapi.ABOUT)
    app.state.settings = settings
    app.state.sync = Context.from_settings(settings)
    app.state.acts = SyncActions(app.state.sync, publish, sweep_soon)
    events.install(app)
    home.install(app)
    concurrency.install(app)
    guard.install(app, settings)
    errors.install(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    # Events before the API: its addresses hold the number of a run where theirs has a name.
    for room in (events, sync, health, home, runs, library, accounts, guard, openapi):
        app.include_router(room.router)
    openapi.describe(app, settings)
    return app


@asynccontextmanager
async def _while_it_runs(app: FastAPI) -> AsyncIterator[None]:
    async with events.listening(app):
        yield
    app.state.sync.close()
