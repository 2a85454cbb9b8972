"""One run: the timeline of its batches, waits, retries, kills and resumes."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from spotisync import status
from spotisync.core.states import OVER
from spotisync.status import Document
from spotisync.store.database import Connection
from spotisync.web import csrf, home, presses, story
from spotisync.web.home import Account
from spotisync.web.shared import Looking, Using, page

router = APIRouter(include_in_schema=False)

# Of an account's runs, so far back is looked whether there is a newer one of the type.
RECENT = 50


@router.get("/runs/{sync_id}")
def one(request: Request, connection: Looking, sync: Using, sync_id: int) -> Response:
    return page(request, "run.html", **_shown(connection, sync, sync_id))


@router.get("/runs/{sync_id}/fragment")
def how_it_stands(request: Request, connection: Looking, sync: Using, sync_id: int) -> Response:
    return page(request, "run_status.html", **_shown(connection, sync, sync_id))


@router.post("/runs/{sync_id}/cancel", dependencies=[csrf.FromThePage])
def cancel(
    request: Request, connection: Looking, sync: Using, sync_id: int, account: Account = None, *, here: bool = False
) -> Response:
    return _pressed(request, connection, sync, sync_id, account, presses.cancel(sync, sync_id), here=here)


@router.post("/runs/{sync_id}/resume", dependencies=[csrf.FromThePage])
def resume(
    request: Request, connection: Looking, sync: Using, sync_id: int, account: Account = None, *, here: bool = False
) -> Response:
    return _pressed(request, connection, sync, sync_id, account, presses.resume(sync, sync_id), here=here)


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
        return home.pressed(request, connection, sync, account, said)
    shown = {**_shown(connection, sync, sync_id), "said": said}
    if "HX-Request" in request.headers:
        return page(request, "pressed.html", **shown, within="run_status.html")
    return page(request, "run.html", **shown) if said else RedirectResponse(f"/runs/{sync_id}", 303)


def _shown(connection: Connection, sync: Any, sync_id: int) -> dict[str, Any]:
    document = status.run(connection, sync.settings, sync_id) if sync_id < 2**63 else None
    if document is None:
        raise HTTPException(404, f"There is no run {sync_id}. Those there are stand on the front page.")
    return {
        "document": document,
        "documents": [document],
        "steps": story.steps(_events(connection, sync, sync_id)),
        "resumable": document["status"] in {"failed", "cancelled"} and _is_newest(connection, document),
        "restless": document["status"] not in OVER,
        "flower": getattr(sync.settings, "flower_url", None),
    }


def _events(connection: Connection, sync: Any, sync_id: int) -> list[Document]:
    read = getattr(status, "timeline", None)
    return list(read(connection, sync.settings, sync_id)) if read else []


def _is_newest(connection: Connection, document: Document) -> bool:
    """Of its type: no other one can be resumed."""
    runs = status.history(connection, document["account"], RECENT)
    newest = next((each for each in runs if each["sync_type"] == document["sync_type"]), document)
    return bool(newest["sync_id"] == document["sync_id"])
