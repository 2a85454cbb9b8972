"""The production app, timed, with one more task, which only sends itself again: `celery -A benchmarks.hops`."""

import time
from typing import Any

from benchmarks import timing
from spotisync.celery import app

__all__ = ["app"]
NAME = "benchmarks.hop"
LIST = "benchmarks.hops"
_backend: Any = app.backend
timing.install()


@app.task(name=NAME)
def hop(*, left: int, ended: float | None = None) -> None:
    """Record the time since the end of the previous hop, comparable to the time between two batches."""
    if ended is not None:
        _backend.client.rpush(LIST, (time.time() - ended) * 1000)
    if left:
        hop.apply_async(kwargs={"left": left - 1, "ended": time.time()})


def measure_hops(count: int) -> list[float]:
    """Return the milliseconds of each hop on the running worker."""
    _backend.client.delete(LIST)
    hop.apply_async(kwargs={"left": count})
    deadline = time.monotonic() + 60
    while _backend.client.llen(LIST) < count:
        if time.monotonic() > deadline:
            raise TimeoutError("the plain hops did not end within 60 s")
        time.sleep(0.05)
    return [float(each) for each in _backend.client.lrange(LIST, 0, -1)]
