"""How long until it goes on, when a worker's child is killed in the middle of a batch."""

import os
import signal
import time
from collections.abc import Iterator

from benchmarks import drive, tracing
from benchmarks.place import Place, connected
from benchmarks.rows import Row
from spotisync.simulator import Control


def measure(here: Place, tracks: int, kills: int) -> Iterator[Row]:
    with here.simulator("--tracks", str(tracks), "--warm") as control:
        here.fresh()
        with here.worker():
            seconds = [_kill(here, control) for _ in range(kills)]
    yield Row("kill -9 of a child in the middle of a batch", "until the next commit", "s", tuple(seconds))


def _kill(here: Place, control: Control) -> float:
    """Seconds until the next commit. Spotify holds one reply back, so that the batch lasts until the kill."""
    url = here.fresh()
    with drive.opened(control) as (sync, account), connected(url) as connection:
        control.add_fault(kind="hold", family="library", times=1)
        run = drive.start(sync, account)
        drive.until(control.held, "a request that is held", 30)
        child = drive.until(_busy_child, "the child that has the batch", 30)
        killed = time.time()
        os.kill(child, signal.SIGKILL)
        control.release()
        drive.finished(sync, run)
        return tracing.commits_after(connection, killed)[0]


def _busy_child() -> int | None:
    from spotisync.celery import app

    nodes = app.control.inspect(timeout=2, limit=1).active() or {}
    pids = [task["worker_pid"] for tasks in nodes.values() for task in tasks if task["name"] == "spotisync.batch"]
    return int(pids[0]) if pids else None
