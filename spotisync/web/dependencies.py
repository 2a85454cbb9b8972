"""What every page and endpoint asks for: the use cases, a transaction to look in, a rendered template."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from spotisync.store.database import Connection
from spotisync.sync import Context
from spotisync.web import labels, view
from spotisync.web.security import csrf

TEMPLATES = Jinja2Templates(directory=Path(__file__).parent / "templates")
TEMPLATES.env.globals.update(view=view, labels=labels)


def _sync(request: Request) -> Context:
    found: Context = request.app.state.sync
    return found


Using = Annotated[Context, Depends(_sync)]


def _looking(context: Using) -> Iterator[Connection]:
    with context.database.begin() as connection:
        yield connection


Looking = Annotated[Connection, Depends(_looking)]


def page(request: Request, template: str, /, *, status_code: int = 200, **context: Any) -> HTMLResponse:
    """A whole page, or the fragment of one. Jinja escapes what it is given."""
    shown = {"csrf_token": csrf.token(request), **context}
    return TEMPLATES.TemplateResponse(request, template, shown, status_code=status_code)
