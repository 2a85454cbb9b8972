"""Drives a run without Celery: batch after batch, in this process, as the messages would."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from spotisync import status
from spotisync.core.outcomes import End, More, Outcome
from spotisync.core.states import OVER
from spotisync.store.runs import Run
from spotisync.sync import Sync, lifecycle
from spotisync.sync.batch import run_batch


@dataclass(frozen=True)
class Account:
    name: str


def start(sync: Sync, account: Account) -> Run:
    return lifecycle.trigger(sync, account.name, "full", "cli").run


def step(sync: Sync, run: Run) -> Outcome:
    """The batch that is due."""
    due = look(sync, run)
    return run_batch(sync, due.id, due.phase, due.seq)


def look(sync: Sync, run: Run) -> Run:
    found = lifecycle.look(sync, run.id)
    assert found
    return found


def run_to_end(
    sync: Sync, run: Run, *, before: Callable[[Run], None] | None = None, seconds: float = 60
) -> dict[str, Any]:
    """Go on until the run is over; waits and retries are not waited for, but done at once."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        due = look(sync, run)
        if due.status in OVER:
            return summary(sync, run)
        if due.phase == "finish":
            lifecycle.finish(sync, run.id)
            continue
        if before:
            before(due)
        outcome = run_batch(sync, due.id, due.phase, due.seq)
        if not isinstance(outcome, More | End):
            time_passes(sync, run)
            lifecycle.due(sync)
    raise AssertionError(f"the run is not over: {summary(sync, run)}")


def incremental_sync(sync: Sync, account: Account) -> dict[str, Any]:
    return run_to_end(sync, lifecycle.trigger(sync, account.name, "incremental", "cli").run)


def full_sync(sync: Sync, account: Account) -> dict[str, Any]:
    return run_to_end(sync, start(sync, account))


def time_passes(sync: Sync, run: Run) -> None:
    """What time would do: claims and waits are over."""
    with sync.database.begin() as connection:
        connection.execute(text("DELETE FROM rate_limits"))
        connection.execute(
            text("UPDATE sync_history SET wake_at = now(), not_before = NULL WHERE id = :id AND wake_at IS NOT NULL"),
            {"id": run.id},
        )
    sync.gate._read_at = float("-inf")


def summary(sync: Sync, run: Run) -> dict[str, Any]:
    with sync.database.begin() as connection:
        return status.summary(connection, run.id)
