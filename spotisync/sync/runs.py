"""Trigger, join, cancel, resume, finish and sweep runs."""

from dataclasses import dataclass, replace
from typing import Literal

from spotisync import telemetry
from spotisync.core.states import UNFINISHED, check_move
from spotisync.errors import Fatal, IllegalMove, NeedsLogin, Unknown
from spotisync.store import accounts, call_ledger, calls_saved, counters, rhythms, runs, schedules, waiters
from spotisync.store.database import Connection
from spotisync.store.runs import Run
from spotisync.sync.callers import Caller
from spotisync.sync.context import Context, in_transaction
from spotisync.sync.tokens import REMEDY

SyncType = Literal["full", "incremental"]
Trigger = Literal["beat", "cli", "api", "web", "task"]
MAX_REJECTIONS = 10_000_000


@dataclass(frozen=True)
class Triggered:
    """The run that a trigger made or joined, as it was before that."""

    run: Run
    created: bool

    @property
    def spends_reserve(self) -> bool:
        """Whether it has ended a scheduled run's wait for its budget."""
        run = self.run
        return not self.created and run.status == "rate_limited" and not run.asked and run.waits > 0


def trigger(
    context: Context,
    account: str | None,
    sync_type: SyncType,
    by: Trigger,
    *,
    idempotency_key: str | None = None,
    caller: Caller | None = None,
) -> Triggered:
    """Join the unfinished run of this type or create one; record the caller as its waiter in the same transaction.

    Raises `Unknown` if there is no such account, `NeedsLogin` or `Fatal` if it can't be synced.
    """

    def write(connection: Connection) -> Triggered:
        if caller and (sync_id := waiters.find_run_id(connection, caller.task_id)):
            return Triggered(require_run(connection, sync_id), created=False)
        task_id = caller.task_id if caller else None
        triggered = find_or_create(connection, account, sync_type, by, idempotency_key, task_id)
        if caller:
            waiters.add_waiter(connection, caller.task_id, triggered.run.id, caller.envelope)
        return triggered

    return context.database.transact(write)


def find_or_create(
    connection: Connection,
    account: str | None,
    sync_type: SyncType,
    by: Trigger,
    idempotency_key: str | None = None,
    task_id: str | None = None,
) -> Triggered:
    """Lock the account; join its unfinished run of this type or create one. Raises as `trigger` does."""
    runs.lock_account(connection, accounts.find_account(connection, account).id)
    # Read again: it may have been removed or disabled before the lock was granted.
    found = accounts.find_account(connection, account)
    run = runs.find(connection, found.id, sync_type, idempotency_key)
    if run is not None:
        if by != "beat":
            runs.mark_asked(connection, run.id)
        return Triggered(run, created=False)
    _check_can_sync(found)
    sync_id = runs.create(connection, found.id, sync_type, by, idempotency_key, task_id)
    return Triggered(_begin_trace(connection, require_run(connection, sync_id)), created=True)


def _begin_trace(connection: Connection, run: Run) -> Run:
    begun = telemetry.begin_run(run.id, run.sync_type, run.trigger)
    return replace(run, traceparent=runs.set_traceparent(connection, run.id, begun)) if begun else run


def join_trace(context: Context, sync_id: int) -> str | None:
    """Return the `traceparent` of a run; begin its trace if the process that created the run sends none."""

    def write(connection: Connection) -> str | None:
        run = runs.get(connection, sync_id)
        if run is not None and run.traceparent is None:
            run = _begin_trace(connection, run)
        return run.traceparent if run else None

    return context.database.transact(write)


def _check_can_sync(account: accounts.Account) -> None:
    name = account.spotify_user_id
    if account.status == "needs_login":
        raise NeedsLogin(f"{account.last_error or f'{name} has to log in again'}; {REMEDY}")
    if account.status == "disabled":
        raise Fatal(f"{name} is disabled; enable it: spotisync accounts enable {name}")


def require_run(connection: Connection, sync_id: int, *, lock: bool = False) -> Run:
    run = runs.get(connection, sync_id, lock=lock)
    if run is None:
        raise Unknown(f"No run {sync_id}. List runs: spotisync history")
    return run


def cancel(context: Context, sync_id: int) -> Run:
    """Cancel a run at once: the commit of a batch in flight fails. Cancelling twice is no error."""

    def write(connection: Connection) -> Run:
        run = require_run(connection, sync_id, lock=True)
        if run.status != "cancelled":
            check_move(run.id, run.status, "cancelled")
            runs.end(connection, sync_id, "cancelled", error="cancelled")
        return require_run(connection, sync_id)

    return context.database.transact(write)


def resume(context: Context, sync_id: int, caller: Caller | None = None) -> Triggered:
    """Resume a failed or cancelled run from its checkpoints, or join an unfinished one.

    Raises `IllegalMove` if the run has succeeded or is not the newest of its type.
    """

    def write(connection: Connection) -> Triggered:
        if caller and (known := waiters.find_run_id(connection, caller.task_id)):
            return Triggered(require_run(connection, known), created=False)
        # The account first, as in `trigger`: otherwise a concurrent trigger would not see this run.
        runs.lock_account(connection, require_run(connection, sync_id).account_id)
        run = require_run(connection, sync_id, lock=True)
        if unfinished := run.status in UNFINISHED:
            runs.mark_asked(connection, sync_id)
        else:
            check_move(run.id, run.status, "in_progress")
            _check_can_sync(accounts.find_account(connection, run.account))
            if not runs.reopen(connection, sync_id):
                raise IllegalMove(
                    f"Run {sync_id} is not the newest {run.sync_type} run of {run.account}, so it can't be resumed. "
                    "Resume the newest one, or start another sync."
                )
        if caller:
            waiters.add_waiter(connection, caller.task_id, sync_id, caller.envelope)
        return Triggered(run if unfinished else require_run(connection, sync_id), created=not unfinished)

    return context.database.transact(write)


def finish(context: Context, sync_id: int) -> bool:
    """End the run with success after its last phase. False if it is in another phase or over already."""

    def write(connection: Connection) -> bool:
        ended = runs.end(connection, sync_id, "success")
        if ended:
            calls_saved.record_calls_saved(connection, sync_id)
            rhythms.update_after_run(connection, sync_id)
        return ended

    return context.database.transact(write)


def take_due_runs(context: Context, *, scheduled: bool = False) -> list[Run]:
    """Take the runs to publish: their message or worker was lost, or their wait is over.

    One transaction per account, so that a locked account does not delay the others.
    """
    developer = context.default_app.developer
    with context.database.begin() as connection:
        if scheduled:
            schedules.record_heartbeat(connection, "sweep")
        candidates = runs.list_accounts_due(connection, developer)
        counters.compact(connection)
        call_ledger.compact(connection)
    return [run for account_id in candidates if (run := _take_due(context, account_id, developer))]


@in_transaction
def record_rejections(connection: Connection, rejected: int) -> None:
    """Count messages that a worker has removed from the broker, unless the number is impossible in one report."""
    if not 0 < rejected <= MAX_REJECTIONS:
        return
    counters.increment(connection, {counters.REJECTED: rejected})
    schedules.record_heartbeat(connection, "rejection")


@in_transaction
def count_rejections(connection: Connection) -> float:
    return counters.read_totals(connection).get(counters.REJECTED, 0)


get_run = in_transaction(runs.get)
_take_due = in_transaction(runs.take_due)
# Leaves the next batch to the next sweep, for when the broker does not accept it.
publish_later = in_transaction(runs.set_due_now)
