"""How long a run takes to continue after its worker's child was killed in the middle of a batch."""

import os
import signal
import time
from collections.abc import Iterator

from benchmarks.environment import Environment, connect, open_context, start_sync, wait_until
from benchmarks.report import Measurement
from benchmarks.tracing import Connection, seconds_to_commit
from spotisync.simulator import Control
from spotisync.store.runs import Run
from spotisync.sync import Context, runs


def measure(environment: Environment, control: Control, kills: int) -> Iterator[Measurement]:
    url = environment.create_database()
    with open_context(control) as (context, account), connect(url) as connection:
        seconds = tuple(_kill(context, account, control, connection) for _ in range(kills))
    yield Measurement("kill -9 of a worker's child in the middle of a batch", "until the next commit", "s", seconds)


def _kill(context: Context, account: str, control: Control, connection: Connection) -> float:
    """Return the seconds until the next commit. Spotify holds one reply, so that the batch lasts until the kill."""
    control.add_fault(kind="hold", family="library", times=1)
    run = start_sync(context, account)
    wait_until(control.held_requests, "a held request", 30)
    child = wait_until(lambda: _find_child(run), "the child that runs the batch", 30)
    killed_at = time.time()
    os.kill(child, signal.SIGKILL)
    control.release()
    seconds = wait_until(lambda: seconds_to_commit(connection, run.id, killed_at), "a commit", 60)
    runs.cancel(context, run.id)
    wait_until(lambda: not _find_child(run), "the end of the batch in flight", 30)
    return float(seconds)


def _find_child(run: Run) -> int | None:
    """Return the pid of the process that runs a batch of this run."""
    from spotisync.celery import app

    nodes = app.control.inspect(timeout=2, limit=1).active() or {}
    tasks = [task for of_node in nodes.values() for task in of_node if task["kwargs"].get("sync_id") == run.id]
    return int(tasks[0]["worker_pid"]) if tasks else None
