"""The application: which rooms it has, and what they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from spotisync.settings import Settings
from spotisync.sync import Sync
from spotisync.web import accounts, api, events, home, library, probes, runs, safety

STATIC = Path(__file__).parent / "static"


def create_app(settings: Settings) -> FastAPI:
    """One process' worth of it. Raises `Misconfigured` where it must not listen, or a setting is missing."""
    app = FastAPI(title="spotisync", lifespan=_while_it_runs, docs_url="/docs", redoc_url=None)
    app.state.settings = settings
    app.state.sync = Sync.from_settings(settings)
    safety.guard(app, settings)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for room in (api, events, probes, home, runs, library, accounts, safety):
        app.include_router(room.router)
    return app


@asynccontextmanager
async def _while_it_runs(app: FastAPI) -> AsyncIterator[None]:
    async with events.listening(app):
        yield
    app.state.sync.close()
