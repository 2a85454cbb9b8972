"""The JSON API, as other services rely on it."""

from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from spotisync import status
from spotisync.errors import Unknown
from spotisync.status import Document
from spotisync.store import accounts
from spotisync.sync import Context
from spotisync.web import documents
from spotisync.web.actions import Acting, Triggered
from spotisync.web.api import models
from spotisync.web.dependencies import Using
from spotisync.web.errors import problem_responses
from spotisync.web.parameters import Before, IdempotencyKey, Limit, OfAccount, RunId

NO_JSON: Final = "This takes JSON alone. Send it with the header Content-Type: application/json"
FRESH: Final = {"Cache-Control": "private, no-cache"}
HEADER: Final = {"schema": {"type": "string"}}
LOCATION: Final = {"Location": {"description": "Where this run is", **HEADER}}
WHERE: Final = "/api/sync/{}"


def _json_alone(request: Request) -> None:
    """A form of another site can't say so. Without a body there may be nothing to say."""
    given = request.headers.get("Content-Type")
    if given is not None and given.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, NO_JSON)


JsonAlone = Depends(_json_alone)
router = APIRouter(prefix="/api/sync", tags=["sync"])


# ---- looking --------------------------------------------------------------------------------------------------------


@router.get(
    "/status",
    summary="The current run, or the last one",
    response_model=models.StatusDocument | list[models.StatusDocument],
    responses={
        200: {"headers": {"ETag": {"description": "Another one as soon as it says something else", **HEADER}}},
        304: {"description": "It says what the one with this ETag (`If-None-Match`) said"},
        **problem_responses(404, 422, 503),
    },
)
def get_status(request: Request, context: Using, account: OfAccount = None) -> Response:
    """One document; a list of them when no account is named and there are several."""
    with context.database.begin() as connection:
        found = status.documents(connection, context.settings, account)
    headers = {**FRESH, "ETag": f'W/"{documents.version_key(found)}"'}
    if _is_known(request, headers["ETag"]):
        return Response(None, 304, headers)
    return Response(documents.as_json(found), 200, headers, "application/json")


@router.get(
    "/history",
    summary="The runs, the newest first",
    response_model=list[models.RunModel],
    responses={
        200: {"headers": {"Link": {"description": 'The next page: `<…>; rel="next"`; none on the last one', **HEADER}}},
        **problem_responses(404, 422, 503),
    },
)
def get_history(context: Using, limit: Limit = 20, before: Before = None, account: OfAccount = None) -> Response:
    """Page by page: what is added meanwhile moves nothing."""
    with context.database.begin() as connection:
        of = accounts.find_account(connection, account).spotify_user_id if account else None
        found = status.history(connection, of, limit + 1, before)
    more = {"Link": f'<{_next_page(found[limit - 1], limit, account)}>; rel="next"'} if len(found) > limit else {}
    return JSONResponse(found[:limit], 200, {**FRESH, **more})


@router.get(
    "/{sync_id}",
    summary="One run",
    response_model=models.RunStatus,
    responses=problem_responses(404, 422, 503),
)
def get_run(sync_id: RunId, context: Using) -> Response:
    """With its four phases, in the form that the status has."""
    return JSONResponse(_document(context, sync_id), headers=FRESH)


# ---- acting ---------------------------------------------------------------------------------------------------------


@router.post(
    "",
    summary="Sync a library now",
    status_code=202,
    response_model=models.RunStatus,
    dependencies=[JsonAlone],
    responses={
        200: {
            "description": "An unfinished run was joined, or the key was seen before: this is that run",
            "model": models.RunStatus,
            "headers": LOCATION,
        },
        202: {"description": "This run was begun", "headers": LOCATION},
        **problem_responses(400, 404, 409, 413, 415, 422, 503),
    },
)
def start(body: models.StartRequest, acts: Acting, idempotency_key: IdempotencyKey = None) -> Response:
    """Begins a run, or joins the unfinished one of its type. An incremental one joins a full one that is going, too.

    While the broker is away the run is stored all the same, and `notes` says that it starts later. 409: the account
    has to log in again, is disabled, or it is not said which one of several is meant.
    """
    done = acts.start(body.account, body.sync_type, "api", idempotency_key)
    return _answer(acts.sync, done, 202 if done.begun else 200)


@router.post(
    "/{sync_id}/cancel",
    summary="End a run now",
    status_code=202,
    response_model=models.RunStatus,
    dependencies=[JsonAlone],
    responses={202: {"headers": LOCATION}, **problem_responses(404, 409, 415, 422, 503)},
)
def cancel(sync_id: RunId, acts: Acting) -> Response:
    """Whatever it does or waits for; what it has read is stored, and it can be resumed. Twice is no error."""
    return _answer(acts.sync, Triggered(acts.cancel(sync_id), begun=False), 202)


@router.post(
    "/{sync_id}/resume",
    summary="Go on with a run that failed or was cancelled",
    status_code=202,
    response_model=models.RunStatus,
    dependencies=[JsonAlone],
    responses={202: {"headers": LOCATION}, **problem_responses(404, 409, 415, 422, 503)},
)
def resume(sync_id: RunId, acts: Acting) -> Response:
    """From its checkpoints. Only the newest run of its type can be; one that is unfinished is left as it is."""
    return _answer(acts.sync, acts.resume(sync_id), 202)


def _answer(context: Context, done: Triggered, code: int) -> Response:
    document = _document(context, done.run.id)
    if done.note:
        document = {**document, "notes": [*document["notes"], done.note]}
    return JSONResponse(document, code, {**FRESH, "Location": WHERE.format(done.run.id)})


def _document(context: Context, sync_id: int) -> Document:
    with context.database.begin() as connection:
        found = status.run(connection, context.settings, sync_id)
    if found is None:
        raise Unknown(f"there is no run {sync_id}; those there are: /api/sync/history")
    return found


def _next_page(last: Document, limit: int, account: str | None) -> str:
    query: dict[str, Any] = {"limit": limit, "before": last["sync_id"], **({"account": account} if account else {})}
    return f"{WHERE.format('history')}?{urlencode(query)}"


def _is_known(request: Request, etag: str) -> bool:
    """Weakly: `W/` or not."""
    known = request.headers.get("If-None-Match", "")
    return known.strip() == "*" or etag.removeprefix("W/") in (
        each.strip().removeprefix("W/") for each in known.split(",")
    )
