"""Runs on the worker: started as the command line does it, awaited."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spotisync.core.states import OVER
from spotisync.settings import settings
from spotisync.simulator import Control
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs


@contextmanager
def opened(control: Control) -> Iterator[tuple[Context, str]]:
    """The use cases on the database that the settings name, and the simulator's first account, added to it."""
    sync = Context.from_settings(settings())
    try:
        yield sync, accounts.add(sync, control.info()["accounts"][0]["refresh_token"], None).spotify_user_id
    finally:
        sync.close()


def start(context: Context, account: str) -> Run:
    from spotisync import canvas  # Celery's configuration is read with it, so not before there is a place

    run = runs.trigger(context, account, "full", "cli").run
    canvas.publish(run)
    return run


def finished(context: Context, run: Run) -> None:
    """Wait until it is over. Raises if that is not a success."""
    found = until(lambda: _over(context, run), f"the end of run {run.id}", 600, every=0.02)
    if found.status != "success":
        raise RuntimeError(f"run {run.id} {found.status}: {found.last_error}")


def _over(context: Context, run: Run) -> Run | None:
    found = runs.get_run(context, run.id)
    return found if found and found.status in OVER else None


def until(condition: Callable[[], Any], what: str, seconds: float, every: float = 0.01) -> Any:
    """Wait for a condition, with a deadline. Returns what it came to."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(every)
    raise TimeoutError(f"not within {seconds:g} s: {what}")
