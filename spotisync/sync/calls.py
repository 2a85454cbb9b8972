"""Web API requests and their outcomes: counted as they are sent, written in the transaction of their batch.

While the process lives, no request is lost: what a batch could not write (it lost its claim, the database was away, a
request outlived it) is written with a later one.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Self

from spotisync.core.histograms import REQUEST_SECONDS, Labels
from spotisync.core.requests import Family, Kind, Request
from spotisync.errors import AppBlocked, Fatal, NeedsLogin, Refused, Transient, Unavailable, UserBlocked
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import call_ledger, counters, reply_shapes, runs
from spotisync.store.database import Connection, Database


def classify_error(error: BaseException) -> str:
    """The outcome of a failed request: `429`, `4xx`, `5xx`, or `error` for no reply or an unreadable one."""
    if isinstance(error, Throttled):
        return "429"
    if isinstance(error, Transient):
        return "5xx" if error.status else "error"
    return "4xx" if isinstance(error, Fatal | Refused | Unauthorised) else "error"


def find_status(error: BaseException) -> int | None:
    """The HTTP status of a failed request; None if there was no reply, or a broken one."""
    match error:
        case Throttled():
            return 429
        case Unauthorised():
            return 401
        case NeedsLogin() | AppBlocked() | UserBlocked():
            return 403
        case Refused() | Transient():
            return error.status
    return None


@dataclass(frozen=True)
class UnwrittenCalls:
    """Calls not yet written: to the run, to the ledger by family, to the counters by name and labels.

    `statuses`: replies by kind of request and HTTP status.
    """

    sent: int
    ledger: Counter[Family]
    totals: Counter[tuple[str, Labels]]
    statuses: Counter[tuple[Kind, int]]

    def __bool__(self) -> bool:
        return bool(self.sent) or any(any(each.values()) for each in (self.ledger, self.totals, self.statuses))

    def plus(self, totals: Counter[tuple[str, Labels]]) -> Self:
        return replace(self, totals=self.totals + totals)


@dataclass
class BatchCalls:
    """The requests of one batch, including retries."""

    sync_id: int | None = None
    account_id: int = 0
    over: bool = False
    _sent: Counter[Family] = field(default_factory=Counter)
    _in_run: int = 0
    _in_ledger: Counter[Family] = field(default_factory=Counter)
    _totals: Counter[tuple[str, Labels]] = field(default_factory=Counter)
    _in_totals: Counter[tuple[str, Labels]] = field(default_factory=Counter)
    _statuses: Counter[tuple[Kind, int]] = field(default_factory=Counter)
    _in_statuses: Counter[tuple[Kind, int]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sent(self) -> int:
        with self._lock:
            return self._sent.total()

    def count(self, family: Family) -> None:
        with self._lock:
            self._sent[family] += 1

    @contextmanager
    def track_request(self, request: Request) -> Iterator[None]:
        """Count the one request that the block sends: outcome, status and duration."""
        self.count(request.family)
        outcome: str = "2xx"
        status: int | None = 200
        since = monotonic()
        try:
            yield
        except BaseException as error:
            outcome, status = classify_error(error), find_status(error)
            raise
        finally:
            with self._lock:
                self._totals["api_calls", (request.family, outcome)] += 1
                self._totals += REQUEST_SECONDS.observe(monotonic() - since, request.family)
                if status is not None:
                    self._statuses[request.kind, status] += 1

    def mark_reserved(self, family: Family, calls: int) -> None:
        """These calls are in the ledger already."""
        with self._lock:
            self._in_ledger[family] += calls

    def get_unwritten(self) -> UnwrittenCalls:
        with self._lock:
            difference = Counter(self._sent)
            difference.subtract(self._in_ledger)
            totals, statuses = self._totals - self._in_totals, self._statuses - self._in_statuses
            return UnwrittenCalls(self._sent.total() - self._in_run, difference, totals, statuses)

    def mark_written(self, written: UnwrittenCalls) -> None:
        with self._lock:
            self._in_run += written.sent
            self._in_ledger.update(written.ledger)
            self._in_totals.update(written.totals)
            self._in_statuses.update(written.statuses)


class CallRecorder:
    """One per app. Keeps the counts of the last batches, since their requests may end after them."""

    def __init__(self, database: Database, client_id: str, developer: str) -> None:
        self._database = database
        self._client_id = client_id
        self._developer = developer
        self._calls: deque[BatchCalls] = deque(maxlen=32)

    def open(self, sync_id: int | None, account_id: int) -> BatchCalls:
        calls = BatchCalls(sync_id, account_id)
        self._calls.append(calls)
        return calls

    @contextmanager
    def transaction(self, calls: BatchCalls) -> Iterator[Connection]:
        """A transaction that writes the calls at its end."""
        unwritten = calls.get_unwritten()
        with self._database.begin() as connection:
            yield connection
            self.write(connection, calls, unwritten)
        calls.mark_written(unwritten)

    def write(self, connection: Connection, calls: BatchCalls, unwritten: UnwrittenCalls, *, run: bool = True) -> None:
        """The run's row first, as in every transaction: another order could deadlock."""
        if run and calls.sync_id is not None and unwritten.sent:
            runs.add_unsuccessful_calls(connection, calls.sync_id, unwritten.sent)
        counters.increment(connection, unwritten.totals)
        reply_shapes.record_statuses(connection, self._client_id, unwritten.statuses)
        call_ledger.record_calls(connection, self._developer, calls.account_id, unwritten.ledger)

    def _write_pending(self, calls: BatchCalls) -> None:
        unwritten = calls.get_unwritten()
        self._database.transact(lambda connection: self.write(connection, calls, unwritten))
        calls.mark_written(unwritten)

    def close(self, calls: BatchCalls) -> None:
        """End the batch; write what is unwritten of it and of earlier batches."""
        calls.over = True
        try:
            for each in [each for each in self._calls if each.over and each.get_unwritten()]:
                self._write_pending(each)
        except Unavailable:
            return  # a later batch writes them
