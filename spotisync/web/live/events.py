"""Server-sent events of the status document, for the API and the pages."""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from spotisync import status
from spotisync.errors import Unknown
from spotisync.status import Document
from spotisync.store.database import Connection
from spotisync.store.visibility import read_version
from spotisync.sync import Context
from spotisync.web.dependencies import AccountFilter
from spotisync.web.errors import problem_responses
from spotisync.web.live.broadcast import Broadcast, BroadcastEvent, Reading
from spotisync.web.paths import get_root

router = APIRouter()

HEARTBEAT_SECONDS: Final = 15
"""Interval of comments that keep the connection open and detect a client that is gone."""
RETRY_MILLISECONDS: Final = 2000
"""After this time a browser that lost the connection reconnects."""
MAX_STREAM_SECONDS: Final = 600.0
"""After this time a stream of a page ends instead of sending an event: the browser reconnects, if still logged in."""
SEND_TIMEOUT_SECONDS: Final = 30.0
"""A client that does not accept an event for this long is disconnected."""
EXAMPLE: Final = 'event: status\\ndata: {"sync_id": 12, "account": "alice", "status": "in_progress", …}\\n\\n'
CLOCK_FIELDS: Final = {"as_of", "seconds"}
"""Fields that differ in each read although nothing has changed."""


# ---- the status document as JSON ------------------------------------------------------------------------------------


def to_json(documents: list[Document]) -> str:
    """Return one document, or a list if there are several accounts."""
    found = documents[0] if len(documents) == 1 else documents
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"), default=str)


def get_version_key(documents: list[Document]) -> str:
    """Return a hash of the content that is independent of the time of reading."""
    content = json.dumps(_remove_clock_fields(documents), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _remove_clock_fields(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _remove_clock_fields(each) for key, each in value.items() if key not in CLOCK_FIELDS}
    return [_remove_clock_fields(each) for each in value] if isinstance(value, list) else value


# ---- the broadcast --------------------------------------------------------------------------------------------------


def get_broadcast(app: FastAPI) -> Broadcast:
    found: Broadcast = app.state.broadcast
    return found


def install(app: FastAPI) -> None:
    """Create the broadcast. Pages register their own kinds of event with it."""
    context: Context = app.state.context

    def read(accounts: frozenset[str | None], version: str | None) -> Reading | None:
        with context.database.begin() as connection:
            newest = read_version(connection)
            if newest == version:
                return None
            return Reading(newest, _read_documents(connection, context, accounts))

    app.state.broadcast = Broadcast(read)
    get_broadcast(app).register("status", lambda documents, _root: to_json(documents), get_version_key)


def _read_documents(
    connection: Connection, context: Context, accounts: frozenset[str | None]
) -> dict[str | None, list[Document]]:
    found: dict[str | None, list[Document]] = {}
    for name in sorted(accounts, key=lambda each: each is not None):  # the list first: it has the documents of many
        listed = [each for each in found.get(None, []) if each["account"] == name]
        try:
            found[name] = listed or status.documents(connection, context.settings, name)
        except Unknown:
            found[name] = []
    return found


@asynccontextmanager
async def run_broadcast(app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(get_broadcast(app).run())
    try:
        yield
    finally:
        get_broadcast(app).close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def stream(
    request: Request, kind: str, account: str | None, max_seconds: float = math.inf
) -> EventSourceResponse:
    """Stream events of this kind, for `max_seconds` at most. An error before the first event is raised."""
    events = get_broadcast(request.app).subscribe(kind, account, get_root(request.scope))
    try:
        first = await anext(events, None)
    except BaseException:
        await events.aclose()
        raise
    messages = _format_events(first, events, time.monotonic() + max_seconds)
    return EventSourceResponse(messages, ping=HEARTBEAT_SECONDS, sep="\n", send_timeout=SEND_TIMEOUT_SECONDS)


async def _format_events(
    first: BroadcastEvent | None, later: AsyncGenerator[BroadcastEvent], end: float
) -> AsyncIterator[ServerSentEvent]:
    """A browser's Last-Event-ID is ignored, since each event has the whole state."""
    async with aclosing(later):
        if first:
            yield ServerSentEvent(first.data, event=first.kind, retry=RETRY_MILLISECONDS, sep="\n")
        with suppress(Unknown):  # the account has been removed
            async for event in later:
                if time.monotonic() > end:
                    return
                yield ServerSentEvent(event.data, event=event.kind, sep="\n")


@router.get(
    "/api/sync/events",
    tags=["sync"],
    summary="Stream the status document",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Server-sent events of type `status`",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
        },
        **problem_responses(404, 422, 503),
    },
)
async def stream_status(request: Request, account: AccountFilter = None) -> EventSourceResponse:
    """Sends the response of `GET /api/sync/status` at once and after each change.

    While the database can't be reached, an event `unavailable` gives the reason in `detail`.
    """
    return await stream(request, "status", account)


@router.get("/events/{kind}", include_in_schema=False)
async def stream_page_events(request: Request, kind: str, account: AccountFilter = None) -> EventSourceResponse:
    if not get_broadcast(request.app).has_kind(kind):
        raise Unknown(f"Unknown kind of events {kind!r}.")
    return await stream(request, kind, account, MAX_STREAM_SECONDS)
