"""Batches in this process, one after the other without Celery, each cut into its parts and these timed."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.rows import timed
from spotisync.core.outcomes import More, PhaseEnded
from spotisync.core.states import Phase
from spotisync.store.runs import Run
from spotisync.sync import Context, batch, runs
from spotisync.sync.batch import ClaimedBatch
from spotisync.sync.calls import BatchCalls
from spotisync.sync.fetch import fetch
from spotisync.sync.tokens import AccountAccess


@dataclass(frozen=True)
class Timings:
    """One batch, in milliseconds: `plan` may take stubs to look up, `fetch` is Spotify's part."""

    phase: Phase
    claim: float
    plan: float
    fetch: float
    parse: float
    commit: float
    items: int

    @property
    def own(self) -> float:
        return self.claim + self.plan + self.parse + self.commit


def run_to_end(context: Context, account: str, until: Phase = "finish") -> Iterator[Timings]:
    """A full sync, until this phase is due."""
    run = runs.trigger(context, account, "full", "cli").run
    while run.phase != until:
        yield _batch(context, run)
        found = runs.get_run(context, run.id)
        assert found
        run = found
    runs.finish(context, run.id)


def _batch(context: Context, run: Run) -> Timings:
    """What `run_batch` does when all goes well, with its own functions."""
    claim, claimed = timed(lambda: batch._claim(context, run.id, run.phase, run.seq))  # noqa: SLF001
    assert isinstance(claimed, ClaimedBatch)
    calls, access = BatchCalls(), AccountAccess(context, run.account_id)
    planning, plan = timed(lambda: batch._plan(context, claimed, calls))  # noqa: SLF001
    fetching, fetched = timed(lambda: fetch(context, access, plan.requests, calls, lambda: True))
    parse, step = timed(lambda: batch._fold(plan, fetched))  # noqa: SLF001
    commit, outcome = timed(lambda: batch._commit(context, claimed, step, calls))  # noqa: SLF001
    assert isinstance(outcome, More | PhaseEnded)
    return Timings(run.phase, claim, planning, fetching, parse, commit, outcome.result.items_processed)
