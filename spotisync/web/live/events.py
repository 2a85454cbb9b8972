"""Server-sent events: one listener a process, however many look on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

from fastapi import APIRouter, FastAPI
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from spotisync import status
from spotisync.errors import Unknown
from spotisync.status import Document
from spotisync.store import notify_channel as store
from spotisync.sync import Context
from spotisync.web import documents
from spotisync.web.errors import problem_responses
from spotisync.web.live.broadcast import Broadcast, Event
from spotisync.web.parameters import OfAccount

router = APIRouter()

HEARTBEAT: Final = 15
"""Seconds between comments, by which a proxy, and we, know that the other end is there."""
AGAIN: Final = 2000
"""Milliseconds after which a browser that has lost us comes back."""
SENDING: Final = 30.0
"""Seconds that one event may take to be taken; then whoever asked for it is taken for gone."""
EXAMPLE: Final = 'event: status\\ndata: {"sync_id": 12, "account": "alice", "status": "in_progress", …}\\n\\n'


def get_broadcast(app: FastAPI) -> Broadcast:
    found: Broadcast = app.state.hub
    return found


def install(app: FastAPI) -> None:
    """Make the hub, at which the rooms then register what they show."""
    sync: Context = app.state.sync

    def read() -> list[Document]:
        with sync.database.begin() as connection:
            return status.documents(connection, sync.settings)

    app.state.hub = Broadcast(read, lambda: store.listen(sync.settings.database))
    get_broadcast(app).register("status", documents.as_json, documents.version_key)


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[None]:
    """Hear of changes while the application runs."""
    task = asyncio.create_task(get_broadcast(app).run())
    try:
        yield
    finally:
        get_broadcast(app).close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def stream(request: Request, kind: str, account: str | None) -> EventSourceResponse:
    """The hub's events of this kind, as an answer. Raises what keeps the first one from being said."""
    said = get_broadcast(request.app).subscribe(kind, account)
    try:
        first = await anext(said, None)
    except BaseException:
        await said.aclose()
        raise
    return EventSourceResponse(_told(first, said), ping=HEARTBEAT, sep="\n", send_timeout=SENDING)


async def _told(first: Event | None, later: AsyncGenerator[Event]) -> AsyncIterator[ServerSentEvent]:
    """A browser may name the last event that it has seen: it makes no difference, since each one says all."""
    async with aclosing(later):
        if first:
            yield ServerSentEvent(first.data, event=first.kind, retry=AGAIN, sep="\n")
        with suppress(Unknown):  # its account has been removed
            async for said in later:
                yield ServerSentEvent(said.data, event=said.kind, sep="\n")


@router.get(
    "/api/sync/events",
    tags=["sync"],
    summary="The status document whenever it changes",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Server-sent events, named `status`",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
        },
        **problem_responses(404, 422, 503),
    },
)
async def events(request: Request, account: OfAccount = None) -> EventSourceResponse:
    """The data of each event is what `GET /api/sync/status` answers. It begins with how it stands now.

    While the database is away there is an event `unavailable`, whose data says why in its `detail`.
    """
    return await stream(request, "status", account)


@router.get("/events/{kind}", include_in_schema=False)
async def events_of_a_page(request: Request, kind: str, account: OfAccount = None) -> EventSourceResponse:
    """What a room has registered at the hub, by its name."""
    if not get_broadcast(request.app).has_kind(kind):
        raise Unknown(f"there are no events {kind!r}")
    return await stream(request, kind, account)
