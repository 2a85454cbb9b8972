"""A run from outside: triggered, joined, cancelled, resumed, finished, swept."""

from dataclasses import dataclass
from typing import Literal

from spotisync.core.states import UNFINISHED, check_move
from spotisync.errors import Fatal, IllegalMove, NeedsLogin, Unknown
from spotisync.store import accounts, calls_saved, counters, heartbeats, history, runs, waiters
from spotisync.store.database import Connection
from spotisync.store.runs import Run
from spotisync.sync.callers import Caller
from spotisync.sync.context import Context
from spotisync.sync.tokens import CURE

SyncType = Literal["full", "incremental"]
Trigger = Literal["beat", "cli", "api", "web", "task"]


@dataclass(frozen=True)
class Triggered:
    """The run that a trigger made or joined."""

    run: Run
    created: bool


def trigger(
    context: Context,
    account: str | None,
    sync_type: SyncType,
    by: Trigger,
    *,
    idempotency_key: str | None = None,
    caller: Caller | None = None,
) -> Triggered:
    """The unfinished run of that type, or a new one; with a caller, it is noted as waiting, in the same transaction.

    Raises `Fatal` if there is no such account, `NeedsLogin` if it can't be synced, in words.
    """
    with context.database.begin() as connection:
        if caller and (sync_id := waiters.find_run_id(connection, caller.task_id)):
            return Triggered(_existing(connection, sync_id), created=False)
        runs.lock_account(connection, accounts.find_account(connection, account).id)
        # Once more: it may have been removed or disabled while the lock was waited for.
        found = accounts.find_account(connection, account)
        run = runs.find(connection, found.id, sync_type, idempotency_key)
        created = run is None
        if run is None:
            _check_can_sync(found)
            task_id = caller.task_id if caller else None
            run = _existing(
                connection,
                runs.create(
                    connection, found.id, sync_type, by, idempotency_key, task_id, stall=context.settings.stall_seconds
                ),
            )
        if caller:
            waiters.add_waiter(connection, caller.task_id, run.id, caller.envelope)
        return Triggered(run, created)


def _check_can_sync(account: accounts.Account) -> None:
    if account.status == "needs_login":
        raise NeedsLogin(f"{account.last_error or f'{account.spotify_user_id} has to log in again'}; {CURE}")
    if account.status == "disabled":
        raise Fatal(f"{account.spotify_user_id} is disabled; enable it: spotisync accounts enable")


def _existing(connection: Connection, sync_id: int, *, lock: bool = False) -> Run:
    run = runs.get(connection, sync_id, lock=lock)
    if run is None:
        raise Unknown(f"there is no run {sync_id}; those there are: spotisync history")
    return run


def cancel(context: Context, sync_id: int) -> Run:
    """One UPDATE is the whole of it: a batch in flight loses its commit. Cancelling twice is no error."""
    with context.database.begin() as connection:
        run = _existing(connection, sync_id, lock=True)
        if run.status != "cancelled":
            check_move(run.status, "cancelled")
            runs.end(connection, sync_id, "cancelled", error="cancelled")
        return _existing(connection, sync_id)


def resume(context: Context, sync_id: int, caller: Caller | None = None) -> Triggered:
    """Go on from the checkpoints. Raises `IllegalMove` unless it is the newest run of its type and failed or cancelled.

    An unfinished run is joined, as any trigger would.
    """
    with context.database.begin() as connection:
        if caller and (known := waiters.find_run_id(connection, caller.task_id)):
            return Triggered(_existing(connection, known), created=False)
        # As a trigger does: the account first, or the two would not see each other.
        runs.lock_account(connection, _existing(connection, sync_id).account_id)
        run = _existing(connection, sync_id, lock=True)
        unfinished = run.status in UNFINISHED
        if not unfinished:
            check_move(run.status, "in_progress")
            _check_can_sync(accounts.find_account(connection, run.account))
            if not runs.reopen(connection, sync_id, stall=context.settings.stall_seconds):
                raise IllegalMove(
                    f"run {sync_id} is not the newest {run.sync_type} run of {run.account}; resume that one, "
                    "or start another sync"
                )
        if caller:
            waiters.add_waiter(connection, caller.task_id, sync_id, caller.envelope)
        return Triggered(_existing(connection, sync_id), created=not unfinished)


def get_run(context: Context, sync_id: int) -> Run | None:
    with context.database.begin() as connection:
        return runs.get(connection, sync_id)


def finish(context: Context, sync_id: int) -> bool:
    """The last phase is over. False: the run is not there yet, or was ended by somebody else."""
    with context.database.begin() as connection:
        ended = runs.end(connection, sync_id, "success")
        if ended:
            calls_saved.record_calls_saved(connection, sync_id)
        return ended


def take_due_runs(context: Context, *, scheduled: bool = False) -> list[Run]:
    """Runs that somebody has to publish: their message or their worker is lost, or their wait is over.

    Account by account, so that one that is busy keeps no other one waiting.
    """
    client_id = context.settings.require_client_id()
    with context.database.begin() as connection:
        if scheduled:
            heartbeats.record_heartbeat(connection, "sweep")
        candidates = runs.list_accounts_due(connection, client_id)
        counters.compact(connection)
    if scheduled and context.settings.retention_days:
        trim(context)
    return [run for account_id in candidates if (run := _take_due(context, account_id, client_id))]


def trim(context: Context) -> int:
    """Once an hour, whoever comes first: forget what is older than is wished for."""
    with context.database.begin() as connection:
        return history.trim(connection, context.settings.retention_days) if history.claim_hourly_trim(connection) else 0


def _take_due(context: Context, account_id: int, client_id: str) -> Run | None:
    with context.database.begin() as connection:
        return runs.take_due(connection, account_id, client_id, stall=context.settings.stall_seconds)


def publish_later(context: Context, sync_id: int) -> None:
    """The broker did not take the next batch: the next sweep is to publish it."""
    with context.database.begin() as connection:
        runs.set_due_now(connection, sync_id)
