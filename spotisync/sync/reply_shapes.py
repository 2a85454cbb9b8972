"""Record the shape of Spotify's replies as they arrive, and open and end alarms.

They are written at once and not with the batch, so that a list is frozen before its last page is committed, and also
if the batch fails because of the change.
"""

import logging
import threading
import time
from collections import defaultdict
from typing import Any

from spotisync.core.reply_shapes import MOST_KEYS, ReplyShape, read_shape
from spotisync.core.requests import Kind
from spotisync.store import reply_shapes
from spotisync.store.database import Connection, Database

log = logging.getLogger(__name__)

# Seconds after which a key that is still seen is recorded again.
KEYS_SECONDS = 86_400
# Seconds. Other processes open and end alarms, too.
ALARMS_SECONDS = 60


class ShapeRecorder:
    """One per app. Remembers what is stored: a reply with nothing new costs no statement."""

    def __init__(self, database: Database, client_id: str) -> None:
        self._database = database
        self._client_id = client_id
        self._lock = threading.Lock()
        self._is_closed = False
        self._known: defaultdict[Kind, set[str]] = defaultdict(set)
        self._known_since = float("-inf")
        self._open: set[tuple[str, str]] = set()
        # Missing keys that need no further statement: they have an alarm, or no earlier reply had them.
        self._missing: set[tuple[str, str]] = set()
        self._read_at = float("-inf")

    def record(self, kind: Kind, body: Any) -> None:
        """Record a reply. Raises `Unavailable` if the database is away."""
        shape = read_shape(kind, body)
        with self._lock:
            if self._is_closed:
                return
            self._refresh()
            new = shape.keys - self._known[kind] if len(self._known[kind]) < MOST_KEYS else set[str]()
            missing = {key for key in shape.missing if (kind, key) not in self._missing}
            returned = {key for key in shape.present if (kind, key) in self._open}
            if new or missing or returned:
                self._write(kind, ReplyShape(frozenset(new), frozenset(returned), frozenset(missing)))

    def close(self) -> None:
        """Wait for a statement in progress, and record no more: nobody waits for the threads of a dropped batch."""
        with self._lock:
            self._is_closed = True

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._known_since > KEYS_SECONDS:
            self._known.clear()
            self._known_since = now
        if now - self._read_at > ALARMS_SECONDS:
            with self._database.begin() as connection:
                self._open = reply_shapes.list_missing(connection, self._client_id)
            self._missing.clear()
            self._read_at = now

    def _write(self, kind: Kind, news: ReplyShape) -> None:
        def write(connection: Connection) -> tuple[list[str], list[str]]:
            opened = reply_shapes.open_alarms(connection, self._client_id, kind, news.missing)
            ended = reply_shapes.end_alarms(connection, self._client_id, kind, news.present)
            reply_shapes.record_keys(connection, self._client_id, kind, news.keys)
            return opened, ended

        opened, ended = self._database.transact(write)
        self._known[kind] |= news.keys
        self._open |= {(kind, key) for key in opened}
        self._open -= {(kind, key) for key in news.present}
        self._missing |= {(kind, key) for key in news.missing}
        self._missing -= {(kind, key) for key in news.present}
        for key in opened:
            log.warning("replies of %s no longer have %s", kind, key)
        for key in ended:
            log.info("replies of %s have %s again", kind, key)
