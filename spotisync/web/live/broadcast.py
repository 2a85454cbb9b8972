"""One look at the tables for all who look on: read when something has changed, shown to each in the form it wants.

Postgres says that something changed, never what. However many look on, and however much changes, the documents are
read four times a second at most; and each form of them is made once, for whoever comes first. Nobody has a queue: who
is slow finds the newest look when it comes back. While nobody looks on, nothing is read.
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

PACE: Final = 0.25
"""Seconds between two looks, at least."""
PATIENCE: Final = 10.0
"""... and at most, while somebody looks on: time alone changes what is to be said."""
LONGEST_PAUSE: Final = 10.0
"""Between two tries to reach a database that is away."""


@dataclass(frozen=True)
class Event:
    """One event: its kind, its data, and what tells it from one that says the same."""

    kind: str
    data: str
    mark: str


@dataclass(frozen=True)
class Renderer:
    """A form of the documents. `make` runs in a thread, and may read; without `mark`, other data is news."""

    make: Callable[[list[Document]], str]
    mark: Callable[[list[Document]], str] | None = None

    def render(self, kind: str, documents: list[Document]) -> Event:
        data = self.make(documents)
        return Event(kind, data, self.mark(documents) if self.mark else hashlib.sha256(data.encode()).hexdigest())


@dataclass
class Snapshot:
    """The documents as they were read once, or why they could not be."""

    documents: list[Document]
    error: Exception | None = None
    _made: dict[tuple[str, str | None], asyncio.Future[Event]] = field(default_factory=dict)

    async def event(self, kind: str, face: Renderer, account: str | None) -> Event:
        """Made by whoever asks first; the others wait for that. Raises `Unknown` if there is no such account."""
        if isinstance(self.error, SpotisyncError):
            words = json.dumps({"detail": str(self.error)})
            return Event("unavailable", words, words)
        if self.error:
            raise self.error
        chosen = filter_account(self.documents, account)
        if (kind, account) not in self._made:
            self._made[kind, account] = asyncio.ensure_future(anyio.to_thread.run_sync(face.render, kind, chosen))
        return await asyncio.shield(self._made[kind, account])


def filter_account(documents: list[Document], account: str | None) -> list[Document]:
    chosen = documents if account is None else [each for each in documents if each["account"] == account]
    if not chosen:
        raise Unknown(f"there is no account {account!r}; those there are: spotisync accounts list")
    return chosen


class Broadcast:
    """`read` gives the documents of all accounts; `changes` is heard for as long as `run` runs."""

    def __init__(self, read: Callable[[], list[Document]], changes: Callable[[], AsyncGenerator[None]]) -> None:
        self._read = read
        self._changes = changes
        self._faces: dict[str, Renderer] = {}
        self._look: Snapshot | None = None
        self._wanted = asyncio.Event()
        self._watched = asyncio.Event()
        self._bell = asyncio.Event()
        self._over = True
        self.viewers = 0

    def register(
        self,
        kind: str,
        make: Callable[[list[Document]], str],
        mark: Callable[[list[Document]], str] | None = None,
    ) -> None:
        """Let there be events of this kind. `make` is called in a thread, once for each change and account."""
        self._faces[kind] = Renderer(make, mark)

    def has_kind(self, kind: str) -> bool:
        return kind in self._faces

    async def subscribe(self, kind: str, account: str | None = None) -> AsyncGenerator[Event]:
        """What there is now, and then whenever that is something else. Ends with the program, or with the account.

        Until the first one, it raises what keeps it from being said.
        """
        if self._over:
            raise Unavailable("nothing is heard from the database yet, or no more")
        self._enter()
        try:
            look, last = None, ""
            while look := await self._after(look):
                if look.error and not last:
                    raise look.error
                said = await look.event(kind, self._faces[kind], account)
                if said.mark != last:
                    last = said.mark
                    yield said
        finally:
            self._leave()

    def close(self) -> None:
        """Let all who look on go: before the server waits for them."""
        self._over = True
        self._bell.set()

    async def run(self) -> None:
        """Listen, and look, until cancelled."""
        self._over = False
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._keep_looking())

    def _enter(self) -> None:
        if not self.viewers:
            self._look = None  # what was kept for others may be old
            self._wanted.set()
        self.viewers += 1
        self._watched.set()

    def _leave(self) -> None:
        self.viewers -= 1
        if not self.viewers:
            self._watched.clear()

    async def _after(self, look: Snapshot | None) -> Snapshot | None:
        """The newest one, if that is another one, or the next. None: it is over."""
        while not self._over and (self._look is None or self._look is look):
            await self._bell.wait()
        return None if self._over else self._look

    async def _keep_looking(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), PATIENCE)
            await self._watched.wait()
            self._wanted.clear()
            self._show(await self._look_now())
            await asyncio.sleep(PACE)

    async def _look_now(self) -> Snapshot:
        try:
            return Snapshot(await anyio.to_thread.run_sync(self._read, abandon_on_cancel=True))
        except Exception as error:  # noqa: BLE001 (whoever looks on is told)
            return Snapshot([], error)

    def _show(self, look: Snapshot) -> None:
        self._look = look
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    async def _listen(self) -> None:
        """Whenever it begins to listen again, what happened meanwhile is a change."""
        pause = 0.0
        while True:
            try:
                async with aclosing(self._changes()) as heard:
                    async for _ in heard:
                        pause = 0.0
                        self._wanted.set()
            except Unavailable as error:
                if not pause:
                    log.warning("%s; it is tried again", error)
            pause = min(LONGEST_PAUSE, 2 * pause + 0.5)
            await asyncio.sleep(pause)
