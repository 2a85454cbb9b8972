"""Web API requests and what became of them: counted as they go out, written down with what they brought.

Nothing that was sent is forgotten while its process lives: what a batch could not write down (it lost its claim, the
database was away, a request outlived it) is written with a later one.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from spotisync.core.requests import Family
from spotisync.errors import Fatal, Refused, Transient, Unavailable
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import call_ledger, counters, runs
from spotisync.store.database import Connection, Database

Told = tuple[Family, str]


def outcome(error: BaseException) -> str:
    """What became of a request that brought nothing. `error`: no answer, or one that can't be read."""
    if isinstance(error, Throttled):
        return "429"
    if isinstance(error, Transient):
        return "5xx" if error.status else "error"
    return "4xx" if isinstance(error, Fatal | Refused | Unauthorised) else "error"


@dataclass(frozen=True)
class UnwrittenCalls:
    """What is to be written down: for the run, for the ledger by family, for the totals by family and outcome."""

    sent: int
    ledger: Counter[Family]
    told: Counter[Told]

    def __bool__(self) -> bool:
        return bool(self.sent) or any(self.ledger.values()) or any(self.told.values())


@dataclass
class BatchCalls:
    """The requests of one batch, retries too."""

    sync_id: int | None = None
    account_id: int = 0
    over: bool = False
    _sent: Counter[Family] = field(default_factory=Counter)
    _in_run: int = 0
    _in_ledger: Counter[Family] = field(default_factory=Counter)
    _told: Counter[Told] = field(default_factory=Counter)
    _in_totals: Counter[Told] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sent(self) -> int:
        with self._lock:
            return self._sent.total()

    def count(self, family: Family) -> None:
        with self._lock:
            self._sent[family] += 1

    @contextmanager
    def record_request(self, family: Family) -> Iterator[None]:
        """One request goes out in here."""
        self.count(family)
        became = "2xx"
        try:
            yield
        except BaseException as error:
            became = outcome(error)
            raise
        finally:
            with self._lock:
                self._told[family, became] += 1

    def mark_reserved(self, family: Family, calls: int) -> None:
        """These stand in the ledger already."""
        with self._lock:
            self._in_ledger[family] += calls

    def unwritten(self) -> UnwrittenCalls:
        with self._lock:
            difference = Counter(self._sent)
            difference.subtract(self._in_ledger)
            return UnwrittenCalls(self._sent.total() - self._in_run, difference, self._told - self._in_totals)

    def mark_written(self, noted: UnwrittenCalls) -> None:
        with self._lock:
            self._in_run += noted.sent
            self._in_ledger.update(noted.ledger)
            self._in_totals.update(noted.told)


class CallRecorder:
    """One per process. Keeps the counts of batches that are over for a while, for what comes in late."""

    def __init__(self, database: Database, client_id: str) -> None:
        self._database = database
        self._client_id = client_id
        self._calls: deque[BatchCalls] = deque(maxlen=32)

    def open(self, sync_id: int | None, account_id: int) -> BatchCalls:
        calls = BatchCalls(sync_id, account_id)
        self._calls.append(calls)
        return calls

    @contextmanager
    def transaction(self, calls: BatchCalls) -> Iterator[Connection]:
        """A transaction that writes the calls down at its end."""
        noted = calls.unwritten()
        with self._database.begin() as connection:
            yield connection
            self.write(connection, calls, noted)
        calls.mark_written(noted)

    def write(self, connection: Connection, calls: BatchCalls, noted: UnwrittenCalls, *, run: bool = True) -> None:
        """The run's row first, as everybody does: who took them the other way round would wait for ever."""
        if run and calls.sync_id is not None and noted.sent:
            runs.add_unsuccessful_calls(connection, calls.sync_id, noted.sent)
        counters.add(connection, "api_calls", {(family, became): n for (family, became), n in noted.told.items()})
        call_ledger.add(connection, self._client_id, calls.account_id, noted.ledger)

    def _write_down(self, calls: BatchCalls) -> None:
        noted = calls.unwritten()
        self._database.transact(lambda connection: self.write(connection, calls, noted))
        calls.mark_written(noted)

    def close(self, calls: BatchCalls) -> None:
        """The batch is over: write down what nobody has."""
        calls.over = True
        try:
            for each in [each for each in self._calls if each.over and each.unwritten()]:
                self._write_down(each)
        except Unavailable:
            return  # a later batch will
