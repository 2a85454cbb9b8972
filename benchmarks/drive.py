"""Runs on the worker: started as the command line does it, awaited."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spotisync.core.states import OVER
from spotisync.settings import settings
from spotisync.simulator import Control
from spotisync.store.runs import Run
from spotisync.sync import Sync, enrol, lifecycle


@contextmanager
def opened(control: Control) -> Iterator[tuple[Sync, str]]:
    """The use cases on the database that the settings name, and the simulator's first account, added to it."""
    sync = Sync.from_settings(settings())
    try:
        yield sync, enrol.add(sync, control.info()["accounts"][0]["refresh_token"], None).spotify_user_id
    finally:
        sync.close()


def start(sync: Sync, account: str) -> Run:
    from spotisync import workflow  # Celery's configuration is read with it, so not before there is a place

    run = lifecycle.trigger(sync, account, "full", "cli").run
    workflow.publish(run)
    return run


def finished(sync: Sync, run: Run) -> None:
    """Wait until it is over. Raises if that is not a success."""
    found = until(lambda: _over(sync, run), f"the end of run {run.id}", 600, every=0.02)
    if found.status != "success":
        raise RuntimeError(f"run {run.id} {found.status}: {found.last_error}")


def _over(sync: Sync, run: Run) -> Run | None:
    found = lifecycle.look(sync, run.id)
    return found if found and found.status in OVER else None


def until(condition: Callable[[], Any], what: str, seconds: float, every: float = 0.01) -> Any:
    """Wait for a condition, with a deadline. Returns what it came to."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every)
    raise TimeoutError(f"not within {seconds:g} s: {what}")
