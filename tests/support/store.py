"""Statements that many tests execute, and runs in any state."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from spotisync.core.states import Phase
from spotisync.store import runs
from spotisync.store.database import Claimant, Database
from spotisync.store.runs import Run
from tests.support.waiting import wait_until

CLIENT = "simulated"
GONE = Claimant(1, datetime(2020, 1, 1, tzinfo=UTC))
LEASE = 120


class _UndoneError(Exception):
    pass


@contextmanager
def analyzed(database: Database, *tables: str) -> Iterator[Connection]:
    """A transaction with statistics of these tables. It is rolled back: later tests use the same database."""
    with suppress(_UndoneError), database.begin() as connection:
        connection.execute(text(f"ANALYZE {', '.join(tables)}"))
        yield connection
        raise _UndoneError


@dataclass
class Store:
    """Short names for common statements."""

    database: Database
    account_id: int = 0

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with self.database.begin() as connection:
            found = connection.execute(text(statement), values)
            return list(found) if found.returns_rows else []

    def one(self, statement: str, **values: Any) -> Any:
        ((value,),) = self.sql(statement, **values)
        return value

    def account(self, name: str = "me") -> int:
        return int(self.one("INSERT INTO accounts (spotify_user_id) VALUES (:name) RETURNING id", name=name))

    def run(self, sync_type: str = "full", account_id: int | None = None, **columns: Any) -> Run:
        with self.database.begin() as connection:
            id_ = runs.create(connection, account_id or self.account_id, sync_type, "cli", None, None)
        if columns:
            self.set(id_, **columns)
        return self.get_run(id_)

    def set(self, id_: int, **columns: Any) -> None:
        """Set columns of a run. Times are SQL: "now() - interval '1 second'"."""
        parts = [
            f"{name} = {value}" if name.endswith(("_at", "_before")) else f"{name} = :{name}"
            for name, value in columns.items()
        ]
        self.sql(f"UPDATE sync_history SET {', '.join(parts)} WHERE id = :id", id=id_, **columns)

    def get_run(self, id_: int) -> Run:
        with self.database.begin() as connection:
            found = runs.get(connection, id_)
        assert found
        return found

    def column(self, run: Run, name: str) -> Any:
        return self.one(f"SELECT {name} FROM sync_history WHERE id = :id", id=run.id)

    def claim(self, run: Run, claimant: Claimant | None = None, lease: int = LEASE) -> UUID | None:
        """Claim the batch; return the token, or None if the claim was refused."""
        token = uuid4()
        with self.database.begin() as connection:
            taken = runs.claim(connection, run, token, claimant or self.database.get_claimant(), lease)
        return token if taken is not None else None

    def advance(self, run: Run, token: UUID, phase: Phase = "tracks", seq: int = 1) -> bool:
        with self.database.begin() as connection:
            return runs.advance(connection, run, token, phase, seq, "library")

    def take_due_runs(self) -> list[int]:
        with self.database.begin() as connection:
            accounts = runs.list_accounts_due(connection, CLIENT)
        return [id_ for account_id in accounts if (id_ := self.take_due_run(account_id))]

    def take_due_run(self, account_id: int) -> int | None:
        with self.database.begin() as connection:
            run = runs.take_due(connection, account_id, CLIENT)
        return run.id if run else None

    def wait_until_blocked_by(self, holder: Connection) -> None:
        """Wait until another session waits for a lock of this transaction."""
        pid = holder.execute(text("SELECT pg_backend_pid()")).scalar_one()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))"
        wait_until(lambda: self.sql(waiting, pid=pid), "a session to wait for a lock")

    def hold_removal(self, name: str = "saved_tracks", rows: int = 97) -> None:
        """Hold a removal of this number of rows of a list, as after a run that missed most of it."""
        self.sql(
            "INSERT INTO listings (account_id, list, held_rows, held_sync_id) VALUES (:account_id, :list, :rows, :run)",
            account_id=self.account_id,
            list=name,
            rows=rows,
            run=self.run(status="success", completed_at="now()").id,
        )

    def block(self, family: str, seconds: int = 600) -> None:
        self.sql(
            """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
            VALUES (:client, :family, now() + make_interval(secs => :seconds), 'rate')
            ON CONFLICT (client_id, family) DO UPDATE SET blocked_until = excluded.blocked_until""",
            client=CLIENT,
            family=family,
            seconds=seconds,
        )
