"""Server-sent events: one listener a process, however many look on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

router = APIRouter()


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[None]:
    """Hear of changes while the application runs."""
    del app
    yield
