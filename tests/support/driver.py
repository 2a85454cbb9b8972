"""Runs the batches of a run in this process, without Celery."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from spotisync import status
from spotisync.core.outcomes import More, Outcome, PhaseEnded
from spotisync.core.states import OVER
from spotisync.store.runs import Run
from spotisync.sync import Context, runs
from spotisync.sync.batch import run_batch


@dataclass(frozen=True)
class Account:
    name: str


def start(context: Context, account: Account) -> Run:
    return runs.trigger(context, account.name, "full", "cli").run


def step(context: Context, run: Run) -> Outcome:
    """Run the due batch."""
    due = get_run(context, run)
    return run_batch(context, due.id, due.phase, due.seq)


def get_run(context: Context, run: Run) -> Run:
    found = runs.get_run(context, run.id)
    assert found
    return found


def run_to_end(
    context: Context, run: Run, *, before: Callable[[Run], None] | None = None, seconds: float = 60
) -> dict[str, Any]:
    """Run batches until the run has ended. Waits and retries continue immediately."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        due = get_run(context, run)
        if due.status in OVER:
            return summary(context, run)
        if due.phase == "finish":
            runs.finish(context, run.id)
            continue
        if before:
            before(due)
        outcome = run_batch(context, due.id, due.phase, due.seq)
        if not isinstance(outcome, More | PhaseEnded):
            expire_waits(context, run)
            runs.take_due_runs(context)
    raise AssertionError(f"the run has not ended: {summary(context, run)}")


def incremental_sync(context: Context, account: Account) -> dict[str, Any]:
    return run_to_end(context, runs.trigger(context, account.name, "incremental", "cli").run)


def full_sync(context: Context, account: Account) -> dict[str, Any]:
    return run_to_end(context, start(context, account))


def expire_waits(context: Context, run: Run) -> None:
    """Let time pass: end all claims and waits."""
    with context.database.begin() as connection:
        connection.execute(text("DELETE FROM rate_limits"))
        connection.execute(
            text("UPDATE sync_history SET wake_at = now(), not_before = NULL WHERE id = :id AND wake_at IS NOT NULL"),
            {"id": run.id},
        )
    context.default_app.gate._read_at = float("-inf")


def summary(context: Context, run: Run) -> dict[str, Any]:
    with context.database.begin() as connection:
        return status.summary(connection, run.id)
