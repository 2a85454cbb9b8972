"""The cost of claim, commit and sweep: batches in this process, without Celery, with each stage timed."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.environment import Environment, connect, open_context
from benchmarks.report import Measurement, median, timed
from spotisync.core.outcomes import More, PhaseEnded
from spotisync.core.states import Phase
from spotisync.simulator import Control
from spotisync.store.runs import Run
from spotisync.sync import Context, batch, callers, runs
from spotisync.sync.calls import BatchCalls
from spotisync.sync.commit import ClaimedBatch
from spotisync.sync.fetch import fetch
from spotisync.sync.tokens import AccountAccess

SECTION = "The fence, in one process"
FULL_BATCH = 150  # tracks; the first and the last batch have fewer
SAMPLES = 20  # per round


@dataclass(frozen=True)
class Timings:
    """The durations of one batch, in milliseconds. `plan` may claim stubs to look up; `fetch` is Spotify's share."""

    phase: Phase
    claim: float
    plan: float
    fetch: float
    parse: float
    commit: float
    items: int

    @property
    def without_fetch(self) -> float:
        return self.claim + self.plan + self.parse + self.commit


def run_batches(context: Context, account: str, until: Phase = "finish") -> Iterator[Timings]:
    """Run a full sync until this phase is due."""
    run = runs.trigger(context, account, "full", "cli").run
    while run.phase != until:
        yield _run_batch(context, run)
        found = runs.get_run(context, run.id)
        assert found
        run = found
    runs.finish(context, run.id)


def _run_batch(context: Context, run: Run) -> Timings:
    """Call the functions of a successful `run_batch` one by one."""
    claim, claimed = timed(lambda: batch._claim(context, run.id, run.phase, run.seq))  # noqa: SLF001
    assert isinstance(claimed, ClaimedBatch)
    calls, access = BatchCalls(), AccountAccess(context, run.account_id)
    planning, plan = timed(lambda: batch._plan(context, claimed, calls))  # noqa: SLF001
    fetching, fetched = timed(lambda: fetch(context, access, plan.requests, calls, lambda: True))
    parse, step = timed(lambda: batch._fold(plan, fetched))  # noqa: SLF001
    commit, outcome = timed(lambda: batch._commit(context, claimed, calls, step))  # noqa: SLF001
    assert isinstance(outcome, More | PhaseEnded)
    return Timings(run.phase, claim, planning, fetching, parse, commit, outcome.result.items_processed)


def measure(environment: Environment, control: Control, rounds: int) -> Iterator[Measurement]:
    batches: list[Timings] = []
    sweeps: list[float] = []
    updates: list[float] = []
    for _ in range(rounds):
        url = environment.create_database()
        with open_context(control) as (context, account):
            batches += [each for each in run_batches(context, account, "artists") if each.items >= FULL_BATCH]
            sweeps += [timed(lambda: _sweep(context))[0] for _ in range(SAMPLES)]
        updates += _update_one_row(url)
    claims, commits = tuple(each.claim for each in batches), tuple(each.commit for each in batches)
    yield Measurement(SECTION, "claim", "ms", claims)
    yield Measurement(SECTION, f"commit of {median([each.items for each in batches]):.0f} tracks", "ms", commits)
    yield Measurement(SECTION, "sweep, nothing due", "ms", tuple(sweeps))
    yield Measurement(SECTION, "one-row UPDATE, for scale", "ms", tuple(updates))
    for what, samples in (("claim", claims), ("commit", commits), ("sweep", sweeps)):
        ratio = median(samples) / median(updates)
        yield Measurement(SECTION, f"{what} / one-row UPDATE", "x", (ratio,), "medians")


def _sweep(context: Context) -> None:
    """Run the queries of `spotisync.sweep`, with one active run and no waiter."""
    assert not runs.take_due_runs(context)
    assert not callers.claim_waiter(context)


def _update_one_row(url: str) -> list[float]:
    """Measure the minimal cost of a fence on this machine: one row, one fsync."""
    with connect(url) as connection:
        statement = "UPDATE sync_history SET attempts = attempts + 1"
        return [timed(lambda: connection.execute(statement))[0] for _ in range(SAMPLES)]
