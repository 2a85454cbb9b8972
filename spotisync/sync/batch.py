"""One batch: claim, fetch, parse, commit. It returns how it ended and never throws what Spotify did."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal
from uuid import UUID, uuid4

from spotisync import logs
from spotisync.core import backoff, cursors, incremental, phases
from spotisync.core import listing as saved
from spotisync.core.cursors import Contents, Cursor, Late, Listing, Lookups, SavedList
from spotisync.core.incremental import Incremental
from spotisync.core.outcomes import BatchResult, More, Outcome, Parked, PhaseEnded, Retry, RunEnded, Stale
from spotisync.core.phases import Answer, Entity, Step
from spotisync.core.regimes import Regime
from spotisync.core.requests import Request
from spotisync.core.states import UNFINISHED, Phase, Status
from spotisync.core.walk import TracksWalk
from spotisync.errors import Fatal, SpotisyncError, Stopping, Unavailable, Wait
from spotisync.store import accounts, apps, catalogue, playlists, runs
from spotisync.store import incremental as stored
from spotisync.store.database import Connection
from spotisync.store.runs import Checkpoint, Run
from spotisync.sync import accounts as enrol
from spotisync.sync import lookups
from spotisync.sync.batch_events import BatchEvents
from spotisync.sync.calls import BatchCalls
from spotisync.sync.commit import ENTITIES, Committed, commit, late_entity
from spotisync.sync.context import Context
from spotisync.sync.fetch import ClaimLost, Fetched, fetch
from spotisync.sync.tokens import CURE, AccountAccess

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 5  # claims of one batch without a commit: each of them cost a worker its life
MOST_FAILURES = 10  # since the last advance: six minutes or so of backoff
STAND_BY_SECONDS = 1.0  # a batch of look-ups takes about as long


@dataclass(frozen=True)
class ClaimedBatch:
    run: Run
    token: UUID
    at: Checkpoint
    cursor: Cursor
    telling: BatchEvents


class NothingClaimable(SpotisyncError):
    """There is nothing to do just now: other runs are looking up all that is left."""


@dataclass(frozen=True)
class BatchPlan:
    """A batch's requests, and what their answers come to."""

    requests: tuple[Request, ...]
    fold: Callable[[list[Answer]], Step]


def run_batch(context: Context, sync_id: int, phase: Phase, seq: int) -> Outcome:
    """Do the batch if it is due. Raises `Unavailable` alone: the same message is to come again in a while.

    The claim can't be given back then; with this process's session gone, the next try finds it free at once.
    """
    if context.stopping():
        return Retry(0, BatchResult(has_more=True))
    try:
        return _run_batch(context, sync_id, phase, seq)
    except Unavailable:
        context.database.drop_claims()
        raise
    except Exception as error:  # the edge of the process: a bug must not leave the run hanging
        log.exception("batch %d of %s of run %d broke off", seq, phase, sync_id)
        context.database.drop_claims()
        raise Unavailable(f"the batch broke off ({type(error).__name__}, see the worker's log)") from error


def _run_batch(context: Context, sync_id: int, phase: Phase, seq: int) -> Outcome:
    claimed = _claim(context, sync_id, phase, seq)
    if not isinstance(claimed, ClaimedBatch):
        return claimed
    calls = context.recorder.open(sync_id, claimed.run.account_id)
    logs.add_task_fields(account=claimed.run.account)
    with logs.bind(run=sync_id, phase=phase, batch=seq, account=claimed.run.account):
        try:
            return _work(context, claimed, calls)
        except Unavailable:
            raise
        except SpotisyncError as told:
            return _told(context, claimed, calls, told)
        except Exception as error:  # a bug, or a row that Postgres does not take: counted, and tried again
            log.exception("batch failed")
            return _again(context, claimed, calls, f"{type(error).__name__} (see the worker's log)")
        finally:
            context.recorder.close(calls)


# ---- 1 claim --------------------------------------------------------------------------------------------------------


def _claim(context: Context, sync_id: int, phase: Phase, seq: int) -> ClaimedBatch | Outcome:
    token, since = uuid4(), time.monotonic()
    claimant = context.database.claimant()
    with context.database.begin() as connection:
        run = runs.get(connection, sync_id)
        if run is None or run.status not in UNFINISHED:
            return Stale(orphaned=False, result=_failed("the run is over"))
        if (run.phase, run.seq) != (phase, seq):
            orphaned = not run.claimed and run.status == "in_progress"
            return Stale(orphaned=orphaned, result=_failed(f"batch {run.seq} of {run.phase} is due"))
        if run.account_status != "active":
            return _give_up(connection, run)
        if run.waits and run.status == "in_progress" and not run.claimed:
            return Retry(run.waits, BatchResult(has_more=True))
        attempts = runs.claim(connection, run, token, claimant, context.settings.lease_seconds)
        if attempts is None:
            return Stale(orphaned=False, result=_failed("another worker has this batch, or the run waits"))
        at = runs.get_checkpoint(connection, sync_id, phase)
    claimed = ClaimedBatch(
        run, token, at, cursors.load(phase, at.cursor, run.sync_type), BatchEvents(run, attempts, since)
    )
    if attempts > MOST_ATTEMPTS:
        return _fail(context, claimed, f"this batch has killed its worker {MOST_ATTEMPTS} times", BatchCalls(sync_id))
    return claimed


def _give_up(connection: Connection, run: Run) -> Outcome:
    """The account can't be synced any more. The run ends in words; it can be resumed when that is cured."""
    status: Status = "cancelled" if run.account_status == "disabled" else "failed"
    if status == "cancelled":
        why = enrol.disabled_message(run.account)
    else:
        why = (
            f"{accounts.get_tokens(connection, run.account_id).last_error or 'the account has to log in again'}; {CURE}"
        )
    if not runs.end(connection, run.id, status, error=why):
        return Stale(orphaned=False, result=_failed("the run is over"))
    log.warning("run %d has %s: %s", run.id, "failed" if status == "failed" else "been cancelled", why)
    return RunEnded(status, _failed(why))


# ---- 2 fetch, 3 parse, 4 commit -------------------------------------------------------------------------------------


def _work(context: Context, claimed: ClaimedBatch, calls: BatchCalls) -> Outcome:
    try:
        plan = _plan(context, claimed, calls)
    except NothingClaimable as nothing:
        return _stand_by(context, claimed, str(nothing))
    fetched = fetch(
        context, AccountAccess(context, claimed.run.account_id), plan.requests, calls, lambda: _alive(context, claimed)
    )
    return _commit(context, claimed, _fold(plan, fetched), calls)


def _fold(plan: BatchPlan, fetched: Fetched) -> Step:
    """What came before a trouble is committed; without anything, the trouble is the outcome."""
    if fetched.trouble and not fetched.answers:
        raise fetched.trouble
    return plan.fold(fetched.answers)


def _alive(context: Context, claimed: ClaimedBatch) -> bool:
    with context.database.begin() as connection:
        return runs.renew(connection, claimed.run.id, claimed.token, context.settings.lease_seconds)


def _commit(context: Context, claimed: ClaimedBatch, step: Step, calls: BatchCalls) -> Outcome:
    run = claimed.run
    noted = calls.unwritten()

    def write(connection: Connection) -> Committed:
        if step.regime:
            _learn(connection, context, step.regime)
        done = commit(
            connection,
            run,
            claimed.token,
            claimed.at,
            claimed.cursor,
            step,
            api_calls=noted.sent,
            stall=context.settings.stall_seconds,
        )
        claimed.telling.committed(connection, step, done.written, noted.sent)
        context.recorder.write(connection, calls, noted, run=False)
        return done

    done = context.database.transact(write)
    calls.mark_written(noted)
    result = _result(done)
    log.info("batch in: %d items, %d calls", result.items_processed, calls.sent)
    return PhaseEnded(result) if done.phase != run.phase else More(done.phase, done.seq, result, run.account)


def _learn(connection: Connection, context: Context, regime: Regime) -> None:
    if apps.record_regime(connection, context.settings.require_client_id(), regime):
        log.info("this app has the %s Spotify API", regime)


def _result(done: Committed) -> BatchResult:
    more = done.written.cursor is not None
    return BatchResult(
        items_processed=done.written.counts.processed,
        items_added=done.written.counts.added,
        items_updated=done.written.counts.updated,
        has_more=more,
        next_offset=done.offset if more else None,
        total_estimated=done.total,
    )


# ---- what to ask for ------------------------------------------------------------------------------------------------


def _plan(context: Context, claimed: ClaimedBatch, calls: BatchCalls) -> BatchPlan:
    match claimed.cursor:
        case TracksWalk() as cursor:
            requests = phases.plan_tracks(cursor, context.settings.tracks_batch_size)
            return BatchPlan(tuple(requests), lambda answers: phases.fold_tracks(cursor, answers))
        case Incremental() as since:
            return _plan_incremental(context, claimed.run, since)
        case SavedList() as of:
            return BatchPlan(saved.plan(of), lambda answers: saved.fold(of, answers))
        case Listing() as listing:
            requests = phases.plan_listing(listing)
            return BatchPlan(tuple(requests), lambda answers: phases.fold_listing(listing, answers))
        case Contents() as contents:
            return _plan_contents(context, claimed.run, contents)
        case Late() as late:
            with context.database.begin() as connection:
                entity = late_entity(connection, late)
            return _plan_lookups(context, claimed, entity, calls) if entity else BatchPlan((), lambda _: Step(late))
        case Lookups():
            entity = "artists" if claimed.run.phase == "artists" else "albums"
            return _plan_lookups(context, claimed, entity, calls)


def _plan_incremental(context: Context, run: Run, cursor: Incremental) -> BatchPlan:
    with context.database.begin() as connection:
        library = stored.load_library(connection, run.account_id, run.id)
    step = incremental.plan(cursor, library)
    requests = phases.plan_incremental(step)
    return BatchPlan(tuple(requests), lambda answers: phases.fold_incremental(cursor, step, library, answers))


def _plan_lookups(context: Context, claimed: ClaimedBatch, entity: Entity, calls: BatchCalls) -> BatchPlan:
    cursor = claimed.cursor

    def put_off(why: str) -> BatchPlan:
        return BatchPlan((), lambda _: Step(cursor, looked_up=entity, deferred=True, why=why))

    regime, by = lookups.get_lookup_mode(context)
    if by == "partial":
        return BatchPlan((), lambda _: Step(cursor, looked_up=entity, settled=True))
    block = context.gate.find_block(entity)
    if by == "off" or (block and block.seconds > context.settings.max_countdown):
        # The run does not wait for look-ups: what they would add is put off, and counted.
        return put_off(block.reason if block and by != "off" else "off")
    context.gate.check_cooldown(entity)
    requests = lookups.plan_lookups(context, entity, claimed.run.id, by, regime, calls)
    if requests is None:
        return put_off("budget")
    if not requests:
        _stand_by_for_others(context, entity)
    return BatchPlan(requests, lambda answers: phases.fold_lookups(cursor, entity, answers))


def _stand_by_for_others(context: Context, entity: Entity) -> None:
    with context.database.begin() as connection:
        if catalogue.has_stubs(connection, entity):
            raise NothingClaimable(f"other runs are looking up the {entity} that are left")


def _plan_contents(context: Context, run: Run, cursor: Contents) -> BatchPlan:
    first = cursor.reading.playlist_id if cursor.reading else None
    with context.database.begin() as connection:
        wanted = playlists.find_wanted(connection, run.account_id, run.id, first, context.settings.playlists_batch_size)
    plan = phases.plan_contents(cursor, wanted)
    return BatchPlan(plan.requests, lambda answers: phases.fold_contents(plan, answers))


# ---- when it can't go on --------------------------------------------------------------------------------------------


def _told(context: Context, claimed: ClaimedBatch, calls: BatchCalls, told: SpotisyncError) -> Outcome:
    match told:
        case ClaimLost():
            log.info("batch dropped: %s", told)
            return Stale(orphaned=False, result=_failed(str(told)))
        case Stopping():
            return _hand_back(context, claimed, calls, str(told))
        case Wait():
            return _wait(context, claimed, calls, told)
        case Fatal():
            return _fail(context, claimed, str(told), calls)
        case _:
            return _again(context, claimed, calls, str(told))


def _wait(context: Context, claimed: ClaimedBatch, calls: BatchCalls, wait: Wait) -> Outcome:
    """Told to wait: no failure. For long: look-ups are put off, anything else is parked in Postgres."""
    block = context.gate.find_block(wait.family)
    # Where no cooldown stands any more, what is left is a turn of our own pace.
    ours = block is None and wait.reason == "pace"
    seconds = block.seconds if block else wait.seconds if ours else 0.0
    park = seconds > context.settings.max_countdown
    if park and isinstance(claimed.cursor, Lookups | Late):
        return _commit(
            context, claimed, Step(claimed.cursor, looked_up=_entity(wait), deferred=True, why=wait.reason), calls
        )
    if park and claimed.run.sync_type == "incremental":
        # It never waits for long: what it could not read is read by the next one.
        return _commit(context, claimed, Step(None, put_off=True, why=str(wait)), calls)
    with context.recorder.transaction(calls) as connection:
        released = runs.release(
            connection,
            claimed.run,
            claimed.token,
            seconds,
            reset_at=None if ours else wait.until,
            park=park,
            stall=context.settings.stall_seconds,
        )
        if released is not None:
            kind: Literal["parked", "wait"] = "parked" if park else "wait"
            claimed.telling.released(connection, kind, seconds, wait.reason, wait.family)
    result = BatchResult(
        has_more=True, rate_limited=not ours, rate_limit_reset_at=wait.until.isoformat(), error_message=str(wait)
    )
    if released is None:
        return Stale(orphaned=False, result=result)
    log.info("%s: %s", "parked" if park else "waiting", wait)
    # Who waits for a turn comes back when there is one; who was told off does not come back all at once.
    jitter = random.random() * (0.2 if ours else 1.0)  # noqa: S311
    return Parked(wait.until, result) if park else Retry(seconds + jitter, result)


def _stand_by(context: Context, claimed: ClaimedBatch, why: str) -> Outcome:
    """Look again soon: they will be in, or free. A claim lasts no longer than its lease, nor than its run goes."""
    seconds = STAND_BY_SECONDS * (0.5 + random.random())  # noqa: S311
    with context.database.begin() as connection:
        released = runs.release(connection, claimed.run, claimed.token, seconds, stall=context.settings.stall_seconds)
        if released is not None:
            claimed.telling.waiting_for_others(connection, seconds, why)
    if released is None:
        return Stale(orphaned=False, result=_failed(why))
    log.info("%s; again in %.1f s", why, seconds)
    return Retry(seconds, BatchResult(has_more=True))


def _hand_back(context: Context, claimed: ClaimedBatch, calls: BatchCalls, why: str) -> Outcome:
    """To whoever is there. Not a failure, nor one of the attempts that cost a worker its life."""
    with context.recorder.transaction(calls) as connection:
        released = runs.release(connection, claimed.run, claimed.token, 0, stall=context.settings.stall_seconds)
    if released is None:
        return Stale(orphaned=False, result=_failed(why))
    if isinstance(claimed.cursor, Lookups | Late):
        _let_go(context, claimed.run)
    log.info("batch handed back: %s", why)
    return Retry(0, BatchResult(has_more=True))


def _entity(wait: Wait) -> Entity:
    return "artists" if wait.family == "artists" else "albums"


def _again(context: Context, claimed: ClaimedBatch, calls: BatchCalls, error: str) -> Outcome:
    """Something that may pass: the same batch again after a while, a limited number of times since the last advance."""
    seconds = backoff.backoff_seconds(claimed.at.failures + 1, random.random())  # noqa: S311
    if claimed.at.failures + 1 >= MOST_FAILURES:
        return _fail(context, claimed, f"{error}; {MOST_FAILURES} tries in a row failed", calls)
    with context.recorder.transaction(calls) as connection:
        failures = runs.release(
            connection, claimed.run, claimed.token, seconds, error=error, stall=context.settings.stall_seconds
        )
        if failures is not None:
            claimed.telling.released(connection, "retried", seconds, error)
    if failures is None:
        return Stale(orphaned=False, result=_failed(error))
    if isinstance(claimed.cursor, Lookups | Late):
        _let_go(context, claimed.run)
    log.warning("try %d of %d failed, again in %.1f s: %s", failures, MOST_FAILURES, seconds, error)
    return Retry(seconds, BatchResult(has_more=True, error_message=error, success=False))


def _let_go(context: Context, run: Run) -> None:
    """It may be this account's trouble alone, or a stop: another run need not wait for ours to get over it."""
    for entity in ENTITIES:
        context.database.transact(partial(catalogue.release_stubs, entity=entity, sync_id=run.id))


def _fail(context: Context, claimed: ClaimedBatch, error: str, calls: BatchCalls) -> Outcome:
    with context.recorder.transaction(calls) as connection:
        ended = runs.end(connection, claimed.run.id, "failed", error=error, token=claimed.token)
    if ended:
        log.error("the run has failed: %s", error)
    return RunEnded("failed", _failed(error)) if ended else Stale(orphaned=False, result=_failed(error))


def _failed(error: str) -> BatchResult:
    return BatchResult(error_message=error, success=False)
