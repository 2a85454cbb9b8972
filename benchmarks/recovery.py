"""How long until it goes on, when a worker's child is killed in the middle of a batch."""

import os
import signal
import time
from collections.abc import Iterator

from benchmarks import drive, tracing
from benchmarks.place import Place, connected
from benchmarks.rows import Row
from benchmarks.tracing import Connection
from spotisync.simulator import Control
from spotisync.store.runs import Run
from spotisync.sync import Context, runs


def measure(here: Place, control: Control, kills: int) -> Iterator[Row]:
    url = here.fresh()
    with drive.opened(control) as (sync, account), connected(url) as connection:
        seconds = [_kill(sync, account, control, connection) for _ in range(kills)]
    yield Row("kill -9 of a worker's child in the middle of a batch", "until the next commit", "s", tuple(seconds))


def _kill(context: Context, account: str, control: Control, connection: Connection) -> float:
    """Seconds until the next commit. Spotify holds one reply back, so that the batch lasts until the kill."""
    control.add_fault(kind="hold", family="library", times=1)
    run = drive.start(context, account)
    drive.until(control.held_requests, "a request that is held", 30)
    child = drive.until(lambda: _child_with(run), "the child that has the batch", 30)
    killed = time.time()
    os.kill(child, signal.SIGKILL)
    control.release()
    seconds = drive.until(lambda: tracing.commit_after(connection, run.id, killed), "a commit", 60)
    runs.cancel(context, run.id)
    drive.until(lambda: not _child_with(run), "the end of the batch in flight", 30)
    return float(seconds)


def _child_with(run: Run) -> int | None:
    """The process that has a batch of this run just now."""
    from spotisync.celery import app

    nodes = app.control.inspect(timeout=2, limit=1).active() or {}
    tasks = [task for of_one in nodes.values() for task in of_one if task["kwargs"].get("sync_id") == run.id]
    return int(tasks[0]["worker_pid"]) if tasks else None
