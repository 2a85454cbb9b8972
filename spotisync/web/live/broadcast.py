"""Broadcast of status documents to all viewers: read once per change, rendered once per kind of event.

Postgres notifies that something changed, not what. The documents are read at most four times a second, regardless of
the number of viewers and changes. There are no queues: a slow viewer skips to the newest snapshot. Without viewers
nothing is read.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from spotisync.errors import SpotisyncError, Unavailable, Unknown

log = logging.getLogger(__name__)
Document = dict[str, Any]

MIN_INTERVAL: Final = 0.25
"""Seconds between two reads, at least."""
MAX_INTERVAL: Final = 10.0
"""Seconds between two reads, at most, while there are viewers: some messages change with time alone."""
MAX_RETRY_DELAY: Final = 10.0
"""Seconds between two attempts to connect to the database."""


@dataclass(frozen=True)
class BroadcastEvent:
    """A server-sent event. Events with the same `key` have the same content."""

    kind: str
    data: str
    key: str


@dataclass(frozen=True)
class Renderer:
    """Renders documents as the data of one kind of event. `render` runs in a thread, and also gets the root path.

    Without `get_key`, data that differ are new content.
    """

    render: Callable[[list[Document], str], str]
    get_key: Callable[[list[Document]], str] | None = None

    def create_event(self, kind: str, documents: list[Document], root: str) -> BroadcastEvent:
        data = self.render(documents, root)
        return BroadcastEvent(
            kind, data, self.get_key(documents) if self.get_key else hashlib.sha256(data.encode()).hexdigest()
        )


@dataclass
class Snapshot:
    """The documents of one read, or the error that prevented it."""

    documents: list[Document]
    error: Exception | None = None
    _events: dict[tuple[str, str | None, str], asyncio.Future[BroadcastEvent]] = field(default_factory=dict)

    async def get_event(self, kind: str, renderer: Renderer, account: str | None, root: str) -> BroadcastEvent:
        """Render once for equal arguments; concurrent callers share the result. Raises `Unknown` for the account."""
        if isinstance(self.error, SpotisyncError):
            data = json.dumps({"detail": str(self.error)})
            return BroadcastEvent("unavailable", data, data)
        if self.error:
            raise self.error
        chosen = filter_account(self.documents, account)
        if (kind, account, root) not in self._events:
            rendering = anyio.to_thread.run_sync(renderer.create_event, kind, chosen, root)
            self._events[kind, account, root] = asyncio.ensure_future(rendering)
        return await asyncio.shield(self._events[kind, account, root])


def filter_account(documents: list[Document], account: str | None) -> list[Document]:
    chosen = documents if account is None else [each for each in documents if each["account"] == account]
    if not chosen:
        raise Unknown(f"Unknown account {account!r}. List accounts: spotisync accounts list")
    return chosen


class Broadcast:
    """`read` returns the documents of all accounts; `changes` yields whenever they may have changed."""

    def __init__(self, read: Callable[[], list[Document]], changes: Callable[[], AsyncGenerator[None]]) -> None:
        self._read = read
        self._changes = changes
        self._renderers: dict[str, Renderer] = {}
        self._snapshot: Snapshot | None = None
        self._read_requested = asyncio.Event()
        self._has_viewers = asyncio.Event()
        self._snapshot_replaced = asyncio.Event()
        self._closed = True
        self.viewers = 0

    def register(
        self,
        kind: str,
        render: Callable[[list[Document], str], str],
        get_key: Callable[[list[Document]], str] | None = None,
    ) -> None:
        """Add a kind of event. See `Renderer`."""
        self._renderers[kind] = Renderer(render, get_key)

    def has_kind(self, kind: str) -> bool:
        return kind in self._renderers

    async def subscribe(self, kind: str, account: str | None = None, root: str = "") -> AsyncGenerator[BroadcastEvent]:
        """Yield the current event, then one for each change, until the broadcast is closed.

        Raises `Unknown` once the account no longer exists. An error before the first event is raised.
        """
        if self._closed:
            raise Unavailable("no connection to the database's notifications")
        self._add_viewer()
        try:
            snapshot, last_key = None, ""
            while snapshot := await self._wait_for_snapshot(snapshot):
                if snapshot.error and not last_key:
                    raise snapshot.error
                event = await snapshot.get_event(kind, self._renderers[kind], account, root)
                if event.key != last_key:
                    last_key = event.key
                    yield event
        finally:
            self._remove_viewer()

    def close(self) -> None:
        """End all subscriptions."""
        self._closed = True
        self._snapshot_replaced.set()

    async def run(self) -> None:
        """Listen for changes and read the documents until cancelled."""
        self._closed = False
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._read_changes())

    def _add_viewer(self) -> None:
        if not self.viewers:
            self._snapshot = None  # it may be out of date
            self._read_requested.set()
        self.viewers += 1
        self._has_viewers.set()

    def _remove_viewer(self) -> None:
        self.viewers -= 1
        if not self.viewers:
            self._has_viewers.clear()

    async def _wait_for_snapshot(self, last: Snapshot | None) -> Snapshot | None:
        """Return the newest snapshot as soon as it differs from `last`, or None once the broadcast is closed."""
        while not self._closed and (self._snapshot is None or self._snapshot is last):
            await self._snapshot_replaced.wait()
        return None if self._closed else self._snapshot

    async def _read_changes(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._read_requested.wait(), MAX_INTERVAL)
            await self._has_viewers.wait()
            self._read_requested.clear()
            self._replace_snapshot(await self._read_snapshot())
            await asyncio.sleep(MIN_INTERVAL)

    async def _read_snapshot(self) -> Snapshot:
        try:
            return Snapshot(await anyio.to_thread.run_sync(self._read, abandon_on_cancel=True))
        except Exception as error:  # noqa: BLE001 (raised or shown in each subscription)
            return Snapshot([], error)

    def _replace_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        replaced, self._snapshot_replaced = self._snapshot_replaced, asyncio.Event()
        replaced.set()

    async def _listen(self) -> None:
        """Reconnect with backoff. `changes` yields once when it connects, so nothing in between is missed."""
        delay = 0.0
        while True:
            try:
                async with aclosing(self._changes()) as changes:
                    async for _ in changes:
                        delay = 0.0
                        self._read_requested.set()
            except Unavailable as error:
                if not delay:
                    log.warning("%s; reconnecting", error)
            delay = min(MAX_RETRY_DELAY, 2 * delay + 0.5)
            await asyncio.sleep(delay)
