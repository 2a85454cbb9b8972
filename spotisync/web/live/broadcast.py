"""Broadcast of status documents to all viewers: read once per change, rendered once per kind of event.

While there are viewers, the database is asked twice a second whether anything was committed, and only then are the
documents read, regardless of the number of viewers and changes. There are no queues: a slow viewer skips to the newest
snapshot. Without viewers nothing is asked.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import anyio

from spotisync.errors import SpotisyncError, Unavailable, Unknown

log = logging.getLogger(__name__)
Document = dict[str, Any]

POLL_INTERVAL: Final = 0.5
"""Seconds between two questions for changes, while there are viewers."""
MIN_INTERVAL: Final = 0.25
"""Seconds between two questions, at least, when new viewers need the documents of another account."""
MAX_INTERVAL: Final = 10.0
"""Seconds between two reads, at most, while there are viewers: some messages change with time alone."""


@dataclass(frozen=True)
class Reading:
    """`documents`: by account; None: the list for viewers that chose none. An unknown account has none."""

    version: str
    documents: Mapping[str | None, list[Document]]


Read: TypeAlias = Callable[[frozenset[str | None], str | None], Reading | None]
"""Read the documents of these accounts, unless the database's version still is this one."""


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

    documents: Mapping[str | None, list[Document]]
    error: Exception | None = None
    _events: dict[tuple[str, str | None, str], asyncio.Future[BroadcastEvent]] = field(default_factory=dict)

    def covers(self, account: str | None) -> bool:
        return self.error is not None or account in self.documents

    async def get_event(self, kind: str, renderer: Renderer, account: str | None, root: str) -> BroadcastEvent:
        """Render once for equal arguments; concurrent callers share the result. Raises `Unknown` for the account."""
        if isinstance(self.error, SpotisyncError):
            data = json.dumps({"detail": str(self.error)})
            return BroadcastEvent("unavailable", data, data)
        if self.error:
            raise self.error
        if not (chosen := self.documents[account]):
            raise Unknown(f"Unknown account {account!r}. List accounts: spotisync accounts list")
        if (kind, account, root) not in self._events:
            rendering = anyio.to_thread.run_sync(renderer.create_event, kind, chosen, root)
            self._events[kind, account, root] = asyncio.ensure_future(rendering)
        return await asyncio.shield(self._events[kind, account, root])


class Broadcast:
    def __init__(self, read: Read) -> None:
        self._read = read
        self._renderers: dict[str, Renderer] = {}
        self._snapshot: Snapshot | None = None
        self._version: str | None = None
        self._read_at = 0.0
        self._accounts: Counter[str | None] = Counter()
        self._has_viewers = asyncio.Event()
        self._read_requested = asyncio.Event()
        self._snapshot_replaced = asyncio.Event()
        self._closed = True

    @property
    def viewers(self) -> int:
        return self._accounts.total()

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
            raise Unavailable("the server is starting or stopping")
        self._add_viewer(account)
        try:
            snapshot, last_key = None, ""
            while snapshot := await self._wait_for_snapshot(snapshot, account):
                if snapshot.error and not last_key:
                    raise snapshot.error
                event = await snapshot.get_event(kind, self._renderers[kind], account, root)
                if event.key != last_key:
                    last_key = event.key
                    yield event
        finally:
            self._remove_viewer(account)

    def close(self) -> None:
        """End all subscriptions."""
        self._closed = True
        self._snapshot_replaced.set()

    async def run(self) -> None:
        """Read the documents when they may have changed, while there are viewers; until cancelled."""
        self._closed = False
        while True:
            await self._has_viewers.wait()
            self._read_requested.clear()
            await self._read_if_changed()
            await asyncio.sleep(MIN_INTERVAL)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._read_requested.wait(), POLL_INTERVAL - MIN_INTERVAL)

    def _add_viewer(self, account: str | None) -> None:
        self._accounts[account] += 1
        if self.viewers == 1:
            self._snapshot = None  # it may be out of date
        if self._snapshot is None or not self._snapshot.covers(account):
            self._read_requested.set()
        self._has_viewers.set()

    def _remove_viewer(self, account: str | None) -> None:
        self._accounts -= Counter([account])  # drops what falls to zero
        if not self.viewers:
            self._has_viewers.clear()

    async def _wait_for_snapshot(self, last: Snapshot | None, account: str | None) -> Snapshot | None:
        """Return the newest snapshot as soon as it differs from `last`, or None once the broadcast is closed."""
        while not self._closed:
            if (newest := self._snapshot) and newest is not last and newest.covers(account):
                return newest
            await self._snapshot_replaced.wait()
        return None

    async def _read_if_changed(self) -> None:
        accounts, snapshot = frozenset(self._accounts), self._snapshot
        is_recent = time.monotonic() < self._read_at + MAX_INTERVAL
        known = self._version if is_recent and snapshot and all(map(snapshot.covers, accounts)) else None
        try:
            reading = await anyio.to_thread.run_sync(self._read, accounts, known, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001 (raised or shown in each subscription)
            if self._version or not self._read_at:
                log.warning("the status can't be read: %s", error)
            self._version, self._read_at = None, time.monotonic()
            self._replace_snapshot(Snapshot({}, error))
        else:
            if reading:
                self._version, self._read_at = reading.version, time.monotonic()
                self._replace_snapshot(Snapshot(reading.documents))

    def _replace_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        replaced, self._snapshot_replaced = self._snapshot_replaced, asyncio.Event()
        replaced.set()
