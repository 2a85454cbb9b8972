"""Jinja templates and the function that renders a page. Jinja escapes all values."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from spotisync.settings import Settings
from spotisync.web import labels, view
from spotisync.web.paths import get_path, get_root
from spotisync.web.pictures import find_picture
from spotisync.web.security import csrf

TEMPLATES = Jinja2Templates(directory=Path(__file__).parent / "templates")
TEMPLATES.env.globals.update(view=view, labels=labels)


def render_page(request: Request, template: str, /, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """Render a whole page or a fragment of one."""
    scope = request.scope
    context = {
        "csrf_token": csrf.create_token(request),
        "root": get_root(scope),
        "here": get_path(scope),
        "date": partial(_format_date, request.app.state.settings),
        "picture": partial(find_picture, request.app.state.settings),
        "has_login": request.app.state.settings.api_token is not None,
        **values,
    }
    return TEMPLATES.TemplateResponse(request, template, context, status_code=status_code)


def _format_date(settings: Settings, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(settings.zone)):%Y-%m-%d}"
