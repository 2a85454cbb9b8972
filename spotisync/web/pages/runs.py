"""One run: the timeline of its batches, waits, retries, kills and resumes."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response

from spotisync import status
from spotisync.core.states import OVER
from spotisync.store.database import Connection
from spotisync.web import presses
from spotisync.web.actions import Acting
from spotisync.web.dependencies import Looking, Using, page
from spotisync.web.pages import home
from spotisync.web.pages.home import Account, Before
from spotisync.web.security import csrf

router = APIRouter(include_in_schema=False)

# Of the timeline, on one page.
EVENTS: Final = 500
RunId = Annotated[int, Path(ge=1, le=2**62)]


@router.get("/runs/{sync_id}")
def run_page(request: Request, connection: Looking, context: Using, sync_id: RunId, before: Before = None) -> Response:
    return page(request, "run.html", **_shown(connection, context, sync_id, before))


@router.get("/runs/{sync_id}/fragment")
def status_fragment(
    request: Request, connection: Looking, context: Using, sync_id: RunId, before: Before = None
) -> Response:
    return page(request, "run_status.html", **_shown(connection, context, sync_id, before))


@router.post("/runs/{sync_id}/cancel", dependencies=[csrf.FromThePage])
def cancel(
    request: Request,
    connection: Looking,
    context: Using,
    acts: Acting,
    sync_id: RunId,
    account: Account = None,
    *,
    here: bool = False,
) -> Response:
    return _pressed(request, connection, context, sync_id, account, presses.cancel(acts, sync_id), here=here)


@router.post("/runs/{sync_id}/resume", dependencies=[csrf.FromThePage])
def resume(
    request: Request,
    connection: Looking,
    context: Using,
    acts: Acting,
    sync_id: RunId,
    account: Account = None,
    *,
    here: bool = False,
) -> Response:
    return _pressed(request, connection, context, sync_id, account, presses.resume(acts, sync_id), here=here)


def _pressed(
    request: Request,
    connection: Connection,
    sync: Any,
    sync_id: int,
    account: str | None,
    said: str | None,
    *,
    here: bool,
) -> Response:
    """On the run's own page, or on the front page."""
    if not here:
        return home.after_action(request, connection, sync, account, said)
    shown = {**_shown(connection, sync, sync_id), "said": said}
    if "HX-Request" in request.headers:
        return page(request, "pressed.html", **shown, within="run_status.html")
    return page(request, "run.html", **shown) if said else RedirectResponse(f"/runs/{sync_id}", 303)


def _shown(connection: Connection, sync: Any, sync_id: int, before: int | None = None) -> dict[str, Any]:
    document = status.run(connection, sync.settings, sync_id)
    if document is None:
        raise HTTPException(404, f"There is no run {sync_id}. Those there are stand on the front page.")
    return {
        "document": document,
        "documents": [document],
        "restless": document["status"] not in OVER,
        "flower": sync.settings.flower_url,
        **_story(connection, sync_id, before),
    }


def _story(connection: Connection, sync_id: int, before: int | None) -> dict[str, Any]:
    """The newest of it, or what was before that."""
    events = status.timeline(connection, sync_id, EVENTS + 1, before)
    return {
        "steps": status.fold_batches(events[-EVENTS:]),
        "earlier": events[1]["id"] if len(events) > EVENTS else None,
        "in_all": status.totals(connection, sync_id)["text"],
        "before": before,
    }
