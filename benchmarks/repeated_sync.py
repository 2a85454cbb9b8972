"""A second full sync, in which nothing has changed, and the time between batches."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import tracing
from benchmarks.environment import (
    Environment,
    connect,
    count_calls,
    open_context,
    start_sync,
    wait_for_idle_connections,
    wait_for_success,
)
from benchmarks.report import Measurement, median, ratios
from spotisync.simulator import Control
from spotisync.sync import Context

PLAIN_HOPS = 300
DURATION = "SELECT EXTRACT(epoch FROM completed_at - started_at) FROM sync_history WHERE id = %s"


@dataclass(frozen=True)
class SyncCost:
    """One full sync: seconds from trigger to end, Spotify calls, rows written in the library and the bookkeeping."""

    seconds: float
    calls: int
    rows: int
    bookkeeping: int


@dataclass(frozen=True)
class Repetition:
    first: SyncCost
    second: SyncCost
    hops: list[float]


def measure(environment: Environment, control: Control, repetitions: int) -> Iterator[Measurement]:
    _repeat(environment, control)  # not measured: the simulator and the worker fill their caches
    found = [_repeat(environment, control) for _ in range(repetitions)]
    tracks = len(control.truth()["saved_tracks"])
    for name, costs in (("first", [each.first for each in found]), ("second", [each.second for each in found])):
        section = f"The {name} full sync of {tracks:,} tracks, a worker of two"
        yield Measurement(section, "duration", "s", tuple(each.seconds for each in costs))
        yield Measurement(section, "Spotify calls", "calls", tuple(each.calls for each in costs))
        rows = tuple(each.rows for each in costs)
        yield Measurement(section, "rows written", "rows", rows, f"bookkeeping: {costs[0].bookkeeping:,}")
    pairs = ratios((each.second.seconds for each in found), (each.first.seconds for each in found))
    yield Measurement(section, "second / first", "x", pairs, "pair by pair")
    yield from _hops([hop for each in found for hop in each.hops], _measure_plain_hops())


def _repeat(environment: Environment, control: Control) -> Repetition:
    url = environment.create_database()
    with open_context(control) as (context, account):
        first, second = (_sync(context, account, control, url) for _ in range(2))
    with connect(url) as connection:
        return Repetition(first, second, tracing.hops(connection))


def _sync(context: Context, account: str, control: Control, url: str) -> SyncCost:
    with connect(url) as connection:
        before = tracing.count_written(connection)
        wait_for_idle_connections()
        control.reset_log()
        run = start_sync(context, account)
        wait_for_success(context, run)
        time.sleep(0.2)  # the worker notifies the waiters
        after = tracing.count_written(connection)
        (seconds,) = connection.execute(DURATION, (run.id,)).fetchall()[0]
    return SyncCost(float(seconds), count_calls(control), after[0] - before[0], after[1] - before[1])


def _measure_plain_hops() -> list[float]:
    from benchmarks import hops  # it loads Celery's configuration, which needs the settings of the environment

    return hops.measure_hops(PLAIN_HOPS)


def _hops(ours: list[float], plain: list[float]) -> Iterator[Measurement]:
    section = "From the end of a batch to the next claim"
    yield Measurement(section, "spotisync", "ms", tuple(ours), "includes COMMIT")
    yield Measurement(section, "a plain task sending itself", "ms", tuple(plain), "without a database")
    yield Measurement(section, "spotisync / plain", "x", (median(ours) / median(plain),), "medians")
