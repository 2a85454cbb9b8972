"""The page of a run: status, numbers, errors and a timeline of its batches, waits, retries and resumes."""

from typing import Any, Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from spotisync import status
from spotisync.core.states import OVER
from spotisync.errors import Unknown
from spotisync.store.database import Connection
from spotisync.sync import Context
from spotisync.web.actions import ActionsDep, cancel_from_form, resume_from_form
from spotisync.web.dependencies import Before, ConnectionDep, ContextDep, RunId
from spotisync.web.pages.home import AccountName, respond_to_action
from spotisync.web.paths import redirect
from spotisync.web.run_chart import make_run_chart
from spotisync.web.security.csrf import RequireCsrfToken
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)

EVENTS_PER_PAGE: Final = 500
EVENTS_IN_CHART: Final = 2_000


@router.get("/runs/{sync_id}")
def show_run(
    request: Request, connection: ConnectionDep, context: ContextDep, sync_id: RunId, before: Before = None
) -> Response:
    return render_page(request, "run.html", **_load_run(connection, context, sync_id, before))


@router.get("/runs/{sync_id}/fragment")
def show_run_fragment(
    request: Request, connection: ConnectionDep, context: ContextDep, sync_id: RunId, before: Before = None
) -> Response:
    return render_page(request, "run_status.html", **_load_run(connection, context, sync_id, before))


@router.post("/runs/{sync_id}/{action}", dependencies=[RequireCsrfToken])
def cancel_or_resume(
    request: Request,
    connection: ConnectionDep,
    context: ContextDep,
    actions: ActionsDep,
    sync_id: RunId,
    action: Literal["cancel", "resume"],
    account: AccountName = None,
    *,
    here: bool = False,
) -> Response:
    """Return to the page that has the button: the run's page if `here` is set, else the front page."""
    notice = (cancel_from_form if action == "cancel" else resume_from_form)(actions, sync_id)
    if not here:
        return respond_to_action(request, connection, context, account, notice)
    values = {**_load_run(connection, context, sync_id), "notice": notice}
    if "HX-Request" in request.headers:
        return render_page(request, "action_result.html", **values, content="run_status.html")
    return render_page(request, "run.html", **values) if notice else redirect(request, f"/runs/{sync_id}")


def _load_run(connection: Connection, context: Context, sync_id: int, before: int | None = None) -> dict[str, Any]:
    document = status.run(connection, context.settings, sync_id)
    if document is None:
        raise Unknown(f"No run {sync_id}. The front page lists all runs.")
    return {
        "document": document,
        "is_unfinished": document["status"] not in OVER,
        "flower": context.settings.flower_url,
        "changes": _find_changes(connection, document["account"], sync_id),
        **_load_timeline(connection, sync_id, before),
        "chart": make_run_chart(status.list_events(connection, sync_id, EVENTS_IN_CHART), document["as_of"]),
    }


def _find_changes(connection: Connection, account: str, sync_id: int) -> list[dict[str, Any]]:
    """What the run changed: one entry or none. The document of a run has the last runs of the account only."""
    newest = status.list_changes(connection, account, 1, sync_id + 1)
    return [each for each in newest if each["sync_id"] == sync_id]


def _load_timeline(connection: Connection, sync_id: int, before: int | None) -> dict[str, Any]:
    """Load the newest events, or those before the event `before`."""
    events = status.list_events(connection, sync_id, EVENTS_PER_PAGE + 1, before)
    return {
        "steps": status.fold_batches(events[-EVENTS_PER_PAGE:]),
        "earlier": events[1]["id"] if len(events) > EVENTS_PER_PAGE else None,
        "totals": status.get_totals(connection, sync_id)["text"],
        "before": before,
    }
