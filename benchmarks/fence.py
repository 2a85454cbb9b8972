"""What the fence costs: claim, commit, an empty sweep, as the production code does them, without Celery."""

from collections.abc import Iterator

from benchmarks import batches, drive
from benchmarks.batches import Timings
from benchmarks.place import Place, connected
from benchmarks.rows import Row, median, timed
from spotisync.simulator import Control
from spotisync.sync import Context, callers, runs

FULL_BATCH = 150  # tracks; what has fewer is the first batch, or the last
SAMPLES = 20  # a round, of what is not a batch


def measure(here: Place, control: Control, rounds: int) -> Iterator[Row]:
    done: list[Timings] = []
    sweeps: list[float] = []
    updates: list[float] = []
    for _ in range(rounds):
        url = here.fresh()
        with drive.opened(control) as (sync, account):
            done += [each for each in batches.run_to_end(sync, account, "artists") if each.items >= FULL_BATCH]
            sweeps += [timed(lambda: _sweep(sync))[0] for _ in range(SAMPLES)]
        updates += _updates(url)
    yield from _rows(done, sweeps, updates)


def _sweep(context: Context) -> None:
    """The queries of `spotisync.sweep`, with one run that goes, and nobody to tell."""
    assert not runs.take_due_runs(context)
    assert not callers.claim_waiter(context)


def _updates(url: str) -> list[float]:
    """The least that a fence can cost on this machine: one row, one fsync."""
    with connected(url) as connection:
        statement = "UPDATE sync_history SET attempts = attempts + 1"
        return [timed(lambda: connection.execute(statement))[0] for _ in range(SAMPLES)]


def _rows(done: list[Timings], sweeps: list[float], updates: list[float]) -> Iterator[Row]:
    section, tracks = "The fence, in one process", median([each.items for each in done])
    claims, commits = [each.claim for each in done], [each.commit for each in done]
    yield Row(section, "claim", "ms", tuple(claims))
    yield Row(section, f"commit of {tracks:.0f} tracks", "ms", tuple(commits))
    yield Row(section, "sweep, nothing due", "ms", tuple(sweeps))
    yield Row(section, "one-row UPDATE, for scale", "ms", tuple(updates))
    for what, samples in (("claim", claims), ("commit", commits), ("sweep", sweeps)):
        yield Row(section, f"{what} / one-row UPDATE", "x", (median(samples) / median(updates),), "medians")
