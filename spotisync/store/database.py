"""The connection to Postgres: transactions, retries of what Postgres asks to retry, and this process's presence."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoneFree

from spotisync.errors import Unavailable

__all__ = ["Claimant", "Connection", "Database", "is_unavailable"]

T = TypeVar("T")
RETRIED = {"40001": "serialization failure", "40P01": "deadlock"}
TRIES = 6
CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "application_name": "spotisync",
}


# A server's default would end the session that stands for this process. PostgreSQL 13 has no such setting.
NEVER_IDLE_OUT = """SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"""

ALL_BUSY = "the database does not answer: all connections of this process have been waiting for it for too long"


@dataclass(frozen=True)
class Claimant:
    """A database session that lives as long as its process: when it is gone, so is the process."""

    pid: int
    started: datetime


class Database:
    """One engine per process: make it after a fork, never before."""

    def __init__(self, url: str) -> None:
        # An error that is logged tells the statement, and not whose rows.
        self._engine = create_engine(
            url, pool_pre_ping=True, pool_size=5, max_overflow=5, connect_args=CONNECT, hide_parameters=True
        )
        self._presence: Connection | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back by any exception. `Unavailable` if Postgres is away."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except NoneFree:
            raise Unavailable(ALL_BUSY) from None
        except DBAPIError as error:
            if is_unavailable(error):
                raise Unavailable(_words(error)) from error
            raise

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction; the whole of it again when Postgres broke a deadlock by ending it."""
        for tries_left in range(TRIES, 0, -1):
            try:
                with self.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                if _sqlstate(error) not in RETRIED or tries_left == 1:
                    raise
        raise AssertionError("unreachable")

    def claimant(self) -> Claimant:
        """The session that stands for this process; opened anew when Postgres has ended it."""
        if self._presence is not None:
            try:
                return _claimant(self._presence)
            except SQLAlchemyError:
                self.drop_claims()
        try:
            self._presence = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._presence.execute(text(NEVER_IDLE_OUT))
            return _claimant(self._presence)
        except DBAPIError as error:
            self.drop_claims()
            raise Unavailable(_words(error)) from error

    def drop_claims(self) -> None:
        """End that session: what this process has claimed is free."""
        if self._presence is not None:
            self._presence.invalidate()
            self._presence.close()
            self._presence = None

    def close(self) -> None:
        self.drop_claims()
        self._engine.dispose()


def _claimant(connection: Connection) -> Claimant:
    # Not now(): that stays what it was at the start of a transaction; this is one row of the activity table.
    row = connection.execute(
        text("SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())"),
    ).one()
    return Claimant(row.pid, row.backend_start)


def server_version(connection: Connection) -> str:
    return str(connection.execute(text("SELECT current_setting('server_version')")).scalar_one())


def server_time(connection: Connection) -> datetime:
    """The database's wall clock; unlike `now()` it does not stand still in a transaction."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def address_and_password(url: str) -> tuple[str, str | None]:
    """What libpq's own programs take: the address without its driver, and the password apart."""
    parsed = make_url(url)
    password = None if parsed.password is None else str(parsed.password)
    address = parsed.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    return address.replace("+", "%20"), password  # libpq takes a plus for a plus


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the server is away, out of room or read-only after a failover, rather than unhappy with a statement."""
    state = _sqlstate(error)
    return (
        error.connection_invalidated
        or (state is None and _is_operational(error))
        or (state or "")[:3] in {"57P", "080", "531", "532"}
        or state == "25006"
    )


def _is_operational(error: DBAPIError) -> bool:
    return type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout", "InterfaceError"}


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _words(error: DBAPIError) -> str:
    return f"the database can't be reached: {str(error.orig).strip().splitlines()[0]}"
