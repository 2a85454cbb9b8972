"""The JSON API of syncs: status, history, start, cancel, resume."""

from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from spotisync import status
from spotisync.errors import Unknown
from spotisync.status import Document
from spotisync.store import accounts
from spotisync.sync import Context
from spotisync.web.actions import ActionResult, ActionsDep
from spotisync.web.api import models
from spotisync.web.dependencies import AccountFilter, Before, ContextDep, IdempotencyKey, Limit, RunId
from spotisync.web.errors import problem_responses
from spotisync.web.live.events import get_version_key, to_json
from spotisync.web.paths import format_path

NOT_JSON: Final = "The request body must be JSON. Send the header Content-Type: application/json"
NO_CACHE: Final = {"Cache-Control": "private, no-cache"}
STRING_HEADER: Final = {"schema": {"type": "string"}}
LOCATION: Final = {"Location": {"description": "URL of the run", **STRING_HEADER}}


def _check_content_type(request: Request) -> None:
    """A form of another site can't send this content type. A request without a body needs none."""
    given = request.headers.get("Content-Type")
    if given is not None and given.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, NOT_JSON)


RequireJson = Depends(_check_content_type)
router = APIRouter(prefix="/api/sync", tags=["sync"])
CHANGE_RUN: Final[dict[str, Any]] = {
    "status_code": 202,
    "response_model": models.RunStatus,
    "dependencies": [RequireJson],
    "responses": {202: {"headers": LOCATION}, **problem_responses(404, 409, 415, 422, 503)},
}


# ---- reading --------------------------------------------------------------------------------------------------------


@router.get(
    "/status",
    summary="Status of the current run, or of the last one",
    response_model=models.StatusDocument | list[models.StatusDocument],
    responses={
        200: {"headers": {"ETag": {"description": "Changes with the content", **STRING_HEADER}}},
        304: {"description": "Not changed since the response with this ETag (`If-None-Match`)"},
        **problem_responses(404, 422, 503),
    },
)
def get_status(request: Request, context: ContextDep, account: AccountFilter = None) -> Response:
    """Returns one document, or a list if there are several accounts and none is given."""
    with context.database.begin() as connection:
        found = status.documents(connection, context.settings, account)
    headers = {**NO_CACHE, "ETag": f'W/"{get_version_key(found)}"'}
    if _matches_etag(request, headers["ETag"]):
        return Response(None, 304, headers)
    return Response(to_json(found), 200, headers, "application/json")


@router.get(
    "/history",
    summary="Runs, newest first",
    response_model=list[models.RunModel],
    responses={
        200: {
            "headers": {
                "Link": {"description": 'The next page as `<…>; rel="next"`; absent on the last page', **STRING_HEADER}
            }
        },
        **problem_responses(404, 422, 503),
    },
)
def get_history(
    request: Request, context: ContextDep, limit: Limit = 20, before: Before = None, account: AccountFilter = None
) -> Response:
    """Pages are stable: new runs don't shift them."""
    with context.database.begin() as connection:
        user_id = accounts.find_account(connection, account).spotify_user_id if account else None
        found = status.history(connection, user_id, limit + 1, before)
    more = (
        {"Link": f'<{_get_next_page_url(request, found[limit - 1], limit, account)}>; rel="next"'}
        if len(found) > limit
        else {}
    )
    return JSONResponse(found[:limit], 200, {**NO_CACHE, **more})


@router.get(
    "/{sync_id}",
    summary="Status of one run",
    response_model=models.RunStatus,
    responses=problem_responses(404, 422, 503),
)
def get_run(sync_id: RunId, context: ContextDep) -> Response:
    """Has the same form as the status."""
    return JSONResponse(_get_document(context, sync_id), headers=NO_CACHE)


# ---- actions --------------------------------------------------------------------------------------------------------


@router.post(
    "",
    summary="Start a sync",
    status_code=202,
    response_model=models.RunStatus,
    dependencies=[RequireJson],
    responses={
        200: {
            "description": "An unfinished run, or the run of the same idempotency key; no new run was started",
            "model": models.RunStatus,
            "headers": LOCATION,
        },
        202: {"description": "The run was started", "headers": LOCATION},
        **problem_responses(400, 404, 409, 413, 415, 422, 503),
    },
)
def start(
    request: Request, body: models.StartRequest, actions: ActionsDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Starts a run, or returns the unfinished run of this type. An incremental sync also joins a running full sync.

    `notes` has the number of calls that the sync is expected to cost, and how many are left in 24 hours. If the broker
    can't be reached, the run is stored and starts later; `notes` says so. 409: the account must log in
    again or is disabled, or there are several accounts and none is given.
    """
    result = actions.start(body.account, body.sync_type, "api", idempotency_key)
    return respond(request, actions.context, result, 202 if result.started else 200)


@router.post("/{sync_id}/cancel", summary="Cancel a run", **CHANGE_RUN)
def cancel(request: Request, sync_id: RunId, actions: ActionsDep) -> Response:
    """Items that were read stay stored, and the run can be resumed. Cancelling a cancelled run is not an error."""
    return respond(request, actions.context, ActionResult(actions.cancel(sync_id), started=False), 202)


@router.post("/{sync_id}/resume", summary="Resume a failed or cancelled run", **CHANGE_RUN)
def resume(request: Request, sync_id: RunId, actions: ActionsDep) -> Response:
    """Continues from the checkpoints. Only the newest run of a type can be resumed.

    Resuming an unfinished run changes nothing and is not an error.
    """
    return respond(request, actions.context, actions.resume(sync_id), 202)


def respond(request: Request, context: Context, result: ActionResult, code: int) -> Response:
    """Return the run's document; its notes have also the expected cost and the note for the user."""
    document = _get_document(context, result.run.id)
    document["notes"] = [*document["notes"], *filter(None, (result.cost, result.note))]
    return JSONResponse(document, code, {**NO_CACHE, "Location": format_path(request, f"/api/sync/{result.run.id}")})


def _get_document(context: Context, sync_id: int) -> Document:
    with context.database.begin() as connection:
        found = status.run(connection, context.settings, sync_id)
    if found is None:
        raise Unknown(f"No run {sync_id}. List runs: GET /api/sync/history")
    return found


def _get_next_page_url(request: Request, last: Document, limit: int, account: str | None) -> str:
    query: dict[str, Any] = {"limit": limit, "before": last["sync_id"], **({"account": account} if account else {})}
    return format_path(request, f"/api/sync/history?{urlencode(query)}")


def _matches_etag(request: Request, etag: str) -> bool:
    """Weak comparison (RFC 9110): `W/` is ignored."""
    known = [each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")]
    return known == ["*"] or etag.removeprefix("W/") in known
