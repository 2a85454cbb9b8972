"""Whole syncs on a real worker, and what lies between their batches."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import drive, tracing
from benchmarks.place import Place, connected
from benchmarks.rows import Row, median, ratios
from benchmarks.spotipy_loop import loop
from spotisync.simulator import Control
from spotisync.sync import Context

LATENCY_MS = 50
PLAIN_HOPS = 300
DURATION = "SELECT EXTRACT(epoch FROM completed_at - started_at) FROM sync_history WHERE id = %s"


@dataclass(frozen=True)
class Synced:
    """One full sync: seconds from trigger to end, Spotify calls, rows written of the library and of the runs."""

    seconds: float
    calls: int
    rows: int
    bookkeeping: int


@dataclass(frozen=True)
class Repetition:
    """One after the other, so that all meet the same noise: the loop, a first sync, a second one."""

    loop_seconds: float
    loop_calls: int
    first: Synced
    second: Synced
    hops: list[float]


def measure(here: Place, control: Control, repetitions: int, slow_repetitions: int) -> Iterator[Row]:
    tracks = len(control.truth()["saved_tracks"])
    loop(control)  # unmeasured: what the simulator meets for the first time costs it more
    quick = [_repetition(here, control) for _ in range(repetitions)]
    plain = _plain_hops()
    control.settings(latency_ms=LATENCY_MS)
    slow = [_repetition(here, control) for _ in range(slow_repetitions)]
    control.settings(latency_ms=0)
    yield from _first(f"Full sync of {tracks:,} tracks, Spotify taking no time", quick)
    yield from _first(f"The same, Spotify taking {LATENCY_MS} ms a call", slow)
    yield from _second(quick)
    yield from _hops(quick, plain)


def _repetition(here: Place, control: Control) -> Repetition:
    control.reset_log()
    seconds = loop(control)
    calls = _calls(control)
    url = here.fresh()
    with drive.opened(control) as (sync, account):
        first, second = (_synced(sync, account, control, url) for _ in range(2))
    with connected(url) as connection:
        return Repetition(seconds, calls, first, second, tracing.hops(connection))


def _synced(context: Context, account: str, control: Control, url: str) -> Synced:
    with connected(url) as connection:
        before = tracing.written(connection)
        control.reset_log()
        run = drive.start(context, account)
        drive.finished(context, run)
        time.sleep(0.2)  # the worker tells those who wait
        after = tracing.written(connection)
        (seconds,) = connection.execute(DURATION, (run.id,)).fetchall()[0]
    return Synced(float(seconds), _calls(control), after[0] - before[0], after[1] - before[1])


def _calls(control: Control) -> int:
    families = control.counters()["families"]
    return sum(count for family, count in families.items() if family != "accounts")


def _plain_hops() -> list[float]:
    from benchmarks import hops

    return hops.measured(PLAIN_HOPS)


# ---- as rows --------------------------------------------------------------------------------------------------------


def _first(section: str, found: Sequence[Repetition]) -> Iterator[Row]:
    ours, theirs = [each.first.seconds for each in found], [each.loop_seconds for each in found]
    yield Row(section, "spotisync, a worker of two", "s", tuple(ours))
    yield Row(section, "a plain spotipy loop", "s", tuple(theirs), "nothing stored")
    yield Row(section, "spotisync / loop", "x", ratios(ours, theirs), "pair by pair")
    yield Row(section, "Spotify calls", "calls", tuple(each.first.calls for each in found), _loop_calls(found))
    yield Row(section, "rows written", "rows", tuple(each.first.rows for each in found), _bookkeeping(found[0].first))


def _second(found: Sequence[Repetition]) -> Iterator[Row]:
    section, ours = "A second full sync, nothing changed", [each.second.seconds for each in found]
    yield Row(section, "spotisync, a worker of two", "s", tuple(ours))
    yield Row(section, "second / first", "x", ratios(ours, [each.first.seconds for each in found]), "pair by pair")
    yield Row(section, "Spotify calls", "calls", tuple(each.second.calls for each in found))
    rows = tuple(each.second.rows for each in found)
    yield Row(section, "rows written", "rows", rows, _bookkeeping(found[0].second))


def _hops(found: Sequence[Repetition], plain: list[float]) -> Iterator[Row]:
    section, ours = (
        "The hop: from the end of a batch to the claim of the next",
        [hop for each in found for hop in each.hops],
    )
    yield Row(section, "spotisync", "ms", tuple(ours), "COMMIT is in it")
    yield Row(section, "a plain task sending itself", "ms", tuple(plain), "nothing in the database")
    yield Row(section, "spotisync / plain", "x", (median(ours) / median(plain),), "medians")


def _loop_calls(found: Sequence[Repetition]) -> str:
    return f"loop: {median([each.loop_calls for each in found]):,.0f}"


def _bookkeeping(synced: Synced) -> str:
    return f"bookkeeping: {synced.bookkeeping:,}"
