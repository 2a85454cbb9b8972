"""The connection to Postgres: transactions, retries of deadlocks, and the session that represents this process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import inf
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from spotisync.errors import Unavailable
from spotisync.store.engine import is_pooled, make_engine, split_pooler

__all__ = ["Claimant", "Connection", "Database", "execute", "is_unavailable"]

T = TypeVar("T")
RETRIED = {"40001": "serialization failure", "40P01": "deadlock"}
DISK_FULL = "53100"
READ_ONLY = "25006"
READ_ONLY_CURE = (
    "if it is a replica, use the address of the primary; else set default_transaction_read_only to off, which some "
    "hosts set to on when the disk is full"
)
TRIES = 6


# The server's default would end the session that represents this process. PostgreSQL 13 has no such setting.
NEVER_IDLE_OUT = """SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"""

NO_FREE_CONNECTION = "the database does not answer: no connection of this process became free in time"


@dataclass(frozen=True)
class Claimant:
    """A database session that lives as long as its process, so its end shows the end of the process.

    None behind a pooler, where only the lease of a claim shows that.
    """

    pid: int | None
    started: datetime | None


LEASE_ONLY = Claimant(None, None)
PING_AFTER_SECONDS = 0.1
_IDLE_SINCE = "spotisync_idle_since"


class Database:
    """One engine per process; create it after a fork, never before."""

    def __init__(self, url: str, stall_seconds: float = 30.0) -> None:
        """`stall_seconds`: how long a published message may stay unclaimed before sweep publishes it again."""
        self._engine = make_engine(
            url,
            pool_size=5,
            max_overflow=5,
            # A logged error shows the statement, but not the values of anyone's rows.
            hide_parameters=True,
            execution_options={"stall_seconds": stall_seconds},
        )
        self._closed = False
        _ping_idle_connections(self._engine)
        event.listen(self._engine, "checkin", self._close_late_connection)
        self._session: Connection | None = None
        self._lease_only = False

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction: commit at the end, roll back on any exception. `Unavailable` if Postgres is away."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except PoolTimeout:
            raise Unavailable(NO_FREE_CONNECTION) from None
        except DBAPIError as error:
            if interrupt := _find_interrupt(error):
                raise interrupt from None
            if is_unavailable(error):
                raise Unavailable(describe_outage(error)) from error
            raise

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, and again if Postgres aborted it because of a deadlock or a conflict."""
        for tries_left in range(TRIES, 0, -1):
            try:
                with self.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                if _sqlstate(error) not in RETRIED or tries_left == 1:
                    raise
        raise AssertionError("unreachable")

    def get_claimant(self) -> Claimant:
        """The session that represents this process; opened again if Postgres has ended it."""
        if self._lease_only:
            return LEASE_ONLY
        if self._session is not None:
            try:
                return _read_claimant(self._session)
            except SQLAlchemyError:
                self.drop_claims()
        try:
            self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if is_pooled(self._session):
                self._lease_only = True
                self.drop_claims()
                return LEASE_ONLY
            self._session.execute(text(NEVER_IDLE_OUT))
            return _read_claimant(self._session)
        except DBAPIError as error:
            self.drop_claims()
            raise Unavailable(describe_outage(error)) from error

    def drop_claims(self) -> None:
        """End that session, which releases all claims of this process."""
        if self._session is not None:
            self._session.invalidate()
            self._session.close()
            self._session = None

    def close(self) -> None:
        self.drop_claims()
        self._closed = True
        self._engine.dispose()

    def _close_late_connection(self, _: Any, record: Any) -> None:
        """A thread may still use a connection when the others are closed."""
        if self._closed:
            record.close()


def _ping_idle_connections(engine: Engine) -> None:
    """As SQLAlchemy's `pool_pre_ping`, except for connections that another transaction has just used."""

    @event.listens_for(engine, "checkin")
    def note_time(_: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = monotonic()

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, record: Any, _: Any) -> None:
        if monotonic() - record.info.get(_IDLE_SINCE, inf) < PING_AFTER_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            # The others that are as old are lost too, and each would be waited for.
            raise InvalidatePoolError from error


def execute(
    connection: Connection, sql: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
) -> CursorResult[*tuple[Any, ...]]:
    """Run a statement with parameters such as `:name`; with a sequence of values, once for each."""
    return connection.execute(_parse(sql), values)


# SQLAlchemy searches a text for its parameters each time, which takes as long as sending it.
_parse = lru_cache(maxsize=2048)(text)


def _read_claimant(connection: Connection) -> Claimant:
    # A function instead of the view pg_stat_activity: it reads this row only.
    row = connection.execute(
        text("SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())"),
    ).one()
    return Claimant(row.pid, row.backend_start)


def get_server_version(connection: Connection) -> str:
    return str(connection.execute(text("SELECT current_setting('server_version')")).scalar_one())


def get_server_time(connection: Connection) -> datetime:
    """The database's wall clock; unlike `now()` it advances within a transaction."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def split_password(url: str) -> tuple[str, str | None]:
    """Split a URL for libpq's programs: the address without its driver, and the password."""
    parsed, _ = split_pooler(url)
    password = parsed.password or parsed.query.get("password")
    # `URL.set` ignores a None, and the address is visible in the process list.
    address = parsed.set(drivername="postgresql").difference_update_query(["password"])._replace(password=None)
    rendered = address.render_as_string(hide_password=False)
    return rendered.replace("+", "%20"), str(password) if password else None  # libpq does not decode + as a space


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the server is away, out of disk or memory, or read-only after a failover; not an error of a statement."""
    state = _sqlstate(error)
    return (
        error.connection_invalidated
        or (state is None and _is_operational(error))
        or (state or "")[:3] in {"57P", "080", "531", "532"}
        or state == READ_ONLY
    )


def _is_operational(error: DBAPIError) -> bool:
    return type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout", "InterfaceError"}


def _find_interrupt(error: BaseException | None) -> BaseException | None:
    """What has ended a statement half-way, such as Ctrl-C: then the rollback fails, too, and hides it."""
    while isinstance(error, Exception):
        error = error.__context__
    return error


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def describe_outage(error: DBAPIError) -> str:
    reason = str(error.orig).strip().splitlines()[0]
    if _sqlstate(error) == DISK_FULL:
        return f"the disk of the database is full ({reason}); free space on it, then the work continues"
    if _sqlstate(error) == READ_ONLY:
        return f"the database is read-only ({reason}): {READ_ONLY_CURE}"
    return f"the database can't be reached: {reason}"
