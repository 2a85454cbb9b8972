"""Run one batch: claim, fetch, parse, commit. The outcome is returned; errors from Spotify are never raised."""

import logging
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID, uuid4

from spotisync import logs, telemetry
from spotisync.core import backoff, contents, cursors, incremental, isolation, listing, tracks
from spotisync.core import lookups as lookup_requests
from spotisync.core.cursors import Contents, Entity, Listing, Lookups
from spotisync.core.histograms import BATCH_SECONDS
from spotisync.core.incremental import Incremental
from spotisync.core.outcomes import BatchResult, More, Outcome, Parked, PhaseEnded, Retry, RunEnded, Stale
from spotisync.core.regimes import Regime
from spotisync.core.requests import PAGE, Request
from spotisync.core.states import UNFINISHED, Phase, Status
from spotisync.core.steps import Answer, DeferralStep, LookupStep, Step
from spotisync.core.walk import TracksWalk
from spotisync.errors import Fatal, SpotisyncError, Stopping, Transient, Unavailable, Wait
from spotisync.store import accounts, apps, catalogue, listings, pending_lookups, playlists, runs, saved_tracks
from spotisync.store.database import Connection
from spotisync.store.runs import Checkpoint, Run
from spotisync.sync import lookups
from spotisync.sync.accounts import disabled_message
from spotisync.sync.apps import SpotifyApp
from spotisync.sync.batch_events import BatchEvents
from spotisync.sync.budgets import get_purpose, select_affordable
from spotisync.sync.calls import BatchCalls
from spotisync.sync.commit import ClaimedBatch, Committed, commit
from spotisync.sync.context import Context
from spotisync.sync.fetch import PROBE, ClaimLost, Fetched, fetch
from spotisync.sync.lookups import LookupTerms
from spotisync.sync.tokens import REMEDY, AccountAccess

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 5  # claims of one batch without a commit: each of them cost a worker process its life
MOST_FAILURES = 10  # since the last advance: about six minutes of backoff
# From this one on, what fails is put aside if Spotify answers other requests: after about eleven seconds of backoff.
FAILURES_OF_ITEM = 5
OTHERS_WAIT_SECONDS = 1.0  # a batch of look-ups of another run takes about as long


class NothingClaimable(SpotisyncError):
    """Other runs are looking up all remaining stubs."""


@dataclass(frozen=True)
class BatchPlan:
    """The requests of a batch, and the function that turns their answers into a step.

    `follow`: the request that these answers tell, if any.
    """

    requests: tuple[Request, ...]
    fold: Callable[[list[Answer]], Step]
    follow: Callable[[list[Answer]], Request | None] = lambda _: None


def run_batch(context: Context, sync_id: int, phase: Phase, seq: int) -> Outcome:
    """Run the batch if it is due. Raises only `Unavailable`: the same message must then be delivered again later.

    Postgres may be away, so the claim is not released by an UPDATE: ending this process's database session frees it.
    """
    if context.stopping():
        return Retry(0, BatchResult(has_more=True))
    try:
        return _run_batch(context, sync_id, phase, seq)
    except Unavailable:
        context.database.drop_claims()
        raise
    except Exception as error:  # the outermost frame of a batch: a bug must not leave the run without a message
        log.exception("batch %d of %s of run %d was aborted", seq, phase, sync_id)
        context.database.drop_claims()
        raise Unavailable(f"the batch was aborted ({type(error).__name__}, see the worker's log)") from error


def _run_batch(context: Context, sync_id: int, phase: Phase, seq: int) -> Outcome:
    claimed = _claim(context, sync_id, phase, seq)
    if not isinstance(claimed, ClaimedBatch):
        return claimed
    calls = claimed.app.recorder.open(sync_id, claimed.run.account_id)
    logs.add_task_fields(account=claimed.run.account)
    telemetry.set_attributes(cursor=type(claimed.cursor).__name__, family=claimed.events.family)
    with logs.bind(run=sync_id, phase=phase, batch=seq, account=claimed.run.account):
        try:
            return _work(context, claimed, calls)
        except Unavailable:
            raise
        except SpotisyncError as error:
            return _handle_error(context, claimed, calls, error)
        except Exception as error:  # as in `_work`, for what happens around it
            log.exception("batch failed")
            return _retry_later(context, claimed, calls, f"{type(error).__name__} (see the worker's log)")
        finally:
            claimed.app.recorder.close(calls)


# ---- 1 claim --------------------------------------------------------------------------------------------------------


def _claim(context: Context, sync_id: int, phase: Phase, seq: int) -> ClaimedBatch | Outcome:
    token, since = uuid4(), time.monotonic()
    claimant = context.database.get_claimant()
    with context.database.begin() as connection:
        run = runs.get(connection, sync_id)
        if run is None or run.status not in UNFINISHED:
            return _stale("the run is over")
        if (run.phase, run.seq) != (phase, seq):
            orphaned = not run.claimed and run.status == "in_progress"
            return _stale(f"batch {run.seq} of {run.phase} is due", orphaned=orphaned)
        if run.account_status != "active":
            return _end_inactive(connection, run)
        if run.waits and run.status == "in_progress" and not run.claimed:
            return Retry(run.waits, BatchResult(has_more=True))
        attempts = runs.claim(connection, run, token, claimant, context.settings.lease_seconds)
        if attempts is None:
            return _stale("another worker has this batch, or the run is waiting")
        at = runs.get_checkpoint(connection, sync_id, phase)
    return _read_cursor(context, run, token, at, attempts, since)


def _read_cursor(
    context: Context, run: Run, token: UUID, at: Checkpoint, attempts: int, since: float
) -> ClaimedBatch | Outcome:
    unreadable = None
    try:
        cursor = cursors.load(run.phase, at.cursor, run.sync_type)
    except cursors.UnreadableCursor as error:
        cursor, unreadable = cursors.first_cursor(run.phase, run.sync_type), error
    events = BatchEvents(run, cursor.family, attempts, since)
    podcasts = context.settings.podcasts
    claimed = ClaimedBatch(context.apps.get(run), run, token, at, cursor, events, podcasts)
    if attempts > MOST_ATTEMPTS:
        killed = f"this batch has killed its worker {MOST_ATTEMPTS} times"
        return _fail(claimed, BatchCalls(run.id), killed)
    return _leave_to_other_version(context, claimed, unreadable) if unreadable else claimed


def _leave_to_other_version(context: Context, batch: ClaimedBatch, error: cursors.UnreadableCursor) -> Outcome:
    """During a rolling upgrade a worker of the right version may get the next delivery; the cursor is kept."""
    run = batch.run
    cure = f"run the version that began this run, then: spotisync resume {run.id}"
    reason = f"another version of spotisync stored the position in {run.phase} ({error}); {cure}"
    return _retry_later(context, batch, BatchCalls(run.id), reason)


def _end_inactive(connection: Connection, run: Run) -> Outcome:
    """End the run of an account that can't be synced. It can be resumed once the account is active again."""
    status: Status = "cancelled" if run.account_status == "disabled" else "failed"
    if status == "cancelled":
        error = disabled_message(run.account)
    else:
        last_error = accounts.get_tokens(connection, run.account_id).last_error
        error = f"{last_error or 'the account has to log in again'}; {REMEDY}"
    if not runs.end(connection, run.id, status, error=error):
        return _stale("the run is over")
    log.warning("run %d %s: %s", run.id, status, error)
    return RunEnded(status, _failed(error))


# ---- 2 fetch, 3 parse, 4 commit -------------------------------------------------------------------------------------


def _work(context: Context, batch: ClaimedBatch, calls: BatchCalls) -> Outcome:
    try:
        plan = _plan(context, batch, calls)
    except NothingClaimable as error:
        return _wait_for_others(context, batch, str(error))
    # After a failure one at a time, to find out which one fails.
    requests = plan.requests[:1] if batch.at.failures else plan.requests
    if not isinstance(batch.cursor, Lookups):  # whose budget is charged when they are planned
        requests = select_affordable(context, batch.app, get_purpose(batch.run), requests)
    try:
        fetched = _follow(context, batch, plan, _fetch(context, batch, requests, calls), calls)
        return _commit(context, batch, calls, _fold(plan, fetched))
    except Transient as error:
        reason = str(error)
    except SpotisyncError:
        raise
    except Exception as error:  # a bug, or a row that Postgres rejects: counted as a failure and retried
        log.exception("batch failed")
        reason = f"{type(error).__name__} (see the worker's log)"
    return _retry_or_isolate(context, batch, calls, requests, reason)


def _fetch(context: Context, batch: ClaimedBatch, requests: Sequence[Request], calls: BatchCalls) -> Fetched:
    access = AccountAccess(context, batch.run.account_id)
    return fetch(context, access, requests, calls, partial(_renew, context, batch))


def _follow(context: Context, batch: ClaimedBatch, plan: BatchPlan, fetched: Fetched, calls: BatchCalls) -> Fetched:
    """Fetch what the answers lead to, one after the other."""
    while not (fetched.error or batch.at.failures) and (request := plan.follow(fetched.answers)):
        more = _fetch(context, batch, (request,), calls)
        fetched = Fetched([*fetched.answers, *more.answers], more.error)
    return fetched


def _renew(context: Context, batch: ClaimedBatch) -> bool:
    with context.database.begin() as connection:
        return runs.renew(connection, batch.run.id, batch.token, context.settings.lease_seconds)


def _fold(plan: BatchPlan, fetched: Fetched) -> Step:
    """Answers before the first error are committed; without any, the error is the outcome."""
    if fetched.error and not fetched.answers:
        raise fetched.error
    return plan.fold(fetched.answers)


def _commit(context: Context, batch: ClaimedBatch, calls: BatchCalls, step: Step) -> Outcome:
    if isinstance(step, DeferralStep) and step.failed and _is_all_unread(context, batch):
        return _fail(batch, calls, f"{step.reason}; no list of the library can be read")
    run, unwritten = batch.run, calls.get_unwritten()

    def write(connection: Connection) -> Committed:
        if step.regime:
            _record_regime(connection, batch.app, step.regime)
        done = commit(connection, batch, step, api_calls=unwritten.sent)
        deferred = done.written.deferred
        batch.events.record_commit(connection, step, items=done.items_read, deferred=deferred, calls=unwritten.sent)
        timed = unwritten.plus(BATCH_SECONDS.observe(batch.events.get_seconds(), run.phase))
        batch.app.recorder.write(connection, calls, timed, run=False)
        return done

    done = context.database.transact(write)
    calls.mark_written(unwritten)
    result = _result(done)
    log.info("batch committed: %d items, %d calls", result.items_processed, calls.sent)
    return PhaseEnded(result) if done.phase != run.phase else More(done.phase, done.seq, result, run.account)


def _record_regime(connection: Connection, app: SpotifyApp, regime: Regime) -> None:
    if apps.record_regime(connection, app.client_id, regime):
        log.info("this app has the %s Spotify API", regime)


def _result(done: Committed) -> BatchResult:
    more = done.written.cursor is not None
    return BatchResult(
        items_processed=done.items_read,
        items_added=done.written.counts.added,
        items_updated=done.written.counts.updated,
        has_more=more,
        next_offset=done.offset if more else None,
        total_estimated=done.total,
    )


# ---- what to ask for ------------------------------------------------------------------------------------------------


def _plan(context: Context, batch: ClaimedBatch, calls: BatchCalls) -> BatchPlan:
    match batch.cursor:
        case TracksWalk() as cursor:
            requests = tracks.plan_walk(cursor, context.settings.get_batch_size("tracks", batch.factor))
            return BatchPlan(requests, partial(tracks.fold_walk, cursor))
        case Incremental() as cursor:
            return _plan_incremental(context, batch.run, cursor)
        case Listing() as cursor:
            return _plan_listing(context, batch, cursor)
        case Lookups() as cursor:
            return _plan_lookups(context, batch, cursor, calls)
        case Contents() as cursor:
            return _plan_contents(context, batch, cursor)


def _plan_listing(context: Context, batch: ClaimedBatch, cursor: Listing) -> BatchPlan:
    run = batch.run
    if cursor == Listing(cursor.name):
        with context.database.begin() as connection:
            deferral = listings.find_deferral(connection, run.account_id, cursor.name, unread=True)
            regime = apps.get_regime(connection, batch.app.client_id)
        if run.trigger == "beat" and deferral is not None:
            return _plan_step(DeferralStep(reason=deferral, known=True))
        cursor = replace(cursor, regime=regime)
    pages = max(1, context.settings.get_batch_size(run.phase, batch.factor) // PAGE)

    def follow(answers: list[Answer]) -> Request | None:
        return listing.follow(cursor, answers) if len(answers) < pages else None

    return BatchPlan(listing.plan(cursor, pages), partial(listing.fold, cursor), follow)


def _plan_incremental(context: Context, run: Run, cursor: Incremental) -> BatchPlan:
    with context.database.begin() as connection:
        deferral = listings.find_deferral(connection, run.account_id, "saved_tracks", unread=True)
        library = saved_tracks.load_library(connection, run.account_id, run.id, cursor.total)
    if deferral is not None and run.trigger == "beat" and cursor == Incremental():
        return _plan_step(DeferralStep(reason=deferral, known=True))
    if run.trigger != "beat":
        library = replace(library, walk_deferred=False)
    step = incremental.plan(cursor, library)

    def find_stored(ids: Collection[str]) -> Collection[str]:
        with context.database.begin() as connection:
            return saved_tracks.find_stored(connection, run.account_id, ids)

    fold = partial(tracks.fold_incremental, cursor, step, library, find_stored)
    return BatchPlan(tracks.plan_incremental(step), fold)


def _plan_lookups(context: Context, batch: ClaimedBatch, cursor: Lookups, calls: BatchCalls) -> BatchPlan:
    """Long waits, a spent budget and `ENRICHMENT=off` defer look-ups: no run waits for them."""
    entity, app = cursor.entity, batch.app
    regime, mode = lookups.get_lookup_mode(context, app)
    if mode == "partial":
        return _plan_step(LookupStep(cursor=cursor, entity=entity, settled=True))
    if mode == "off":
        return _plan_step(DeferralStep(reason="off"))
    block = app.gate.find_block(entity, fresh=True)  # a cooldown that has just ended must not defer the phase
    if block and block.seconds > context.settings.max_countdown:
        return _plan_step(DeferralStep(reason=block.reason))
    app.gate.check_cooldown(entity)
    terms = LookupTerms(batch.run.id, regime, mode, get_purpose(batch.run, is_lookup=True), batch.factor)
    requests = lookups.plan_lookups(context, app, entity, terms, calls)
    if requests is None:
        return _plan_step(DeferralStep(reason="budget"))
    if not requests:
        _check_no_stub_is_left(context, batch.run, entity)
    return BatchPlan(requests, partial(lookup_requests.fold, cursor))


def _plan_step(step: Step) -> BatchPlan:
    """Plan a step that needs no requests."""
    return BatchPlan((), lambda _: step)


def _check_no_stub_is_left(context: Context, run: Run, entity: Entity) -> None:
    with context.database.begin() as connection:
        if pending_lookups.has_any(connection, run.id, entity):
            raise NothingClaimable(f"other runs are looking up the remaining {entity}")


def _plan_contents(context: Context, batch: ClaimedBatch, cursor: Contents) -> BatchPlan:
    run, first = batch.run, cursor.progress.playlist_id if cursor.progress else None
    limit = context.settings.get_batch_size("playlists", batch.factor)
    with context.database.begin() as connection:
        wanted = playlists.find_wanted(connection, run.account_id, run.id, first, limit)
    plan = contents.plan(cursor, wanted, min(contents.MOST_CALLS, contents.CALLS_PER_BATCH * batch.factor))
    return BatchPlan(plan.requests, partial(contents.fold, plan))


# ---- a batch that can't continue ------------------------------------------------------------------------------------


def _handle_error(context: Context, batch: ClaimedBatch, calls: BatchCalls, error: SpotisyncError) -> Outcome:
    match error:
        case ClaimLost():
            return _drop(error)
        case Stopping():
            return _hand_back(context, batch, calls, str(error))
        case Wait():
            return _wait(context, batch, calls, error)
        case Fatal():
            return _fail(batch, calls, str(error))
        case _:  # Transient
            return _retry_later(context, batch, calls, str(error))


def _wait(context: Context, batch: ClaimedBatch, calls: BatchCalls, wait: Wait) -> Outcome:
    """Wait, park the run or defer the look-ups. None of these counts as a failure."""
    block = batch.app.gate.find_block(wait.family)
    # Without a cooldown in the table, the wait is our own: for the pace or the budget.
    is_pace, is_budget = (block is None and wait.reason == reason for reason in ("pace", "budget"))
    seconds = block.seconds if block else wait.seconds if is_pace or is_budget else 0.0
    is_lookup = isinstance(batch.cursor, Lookups)
    is_optional = is_lookup or (isinstance(batch.cursor, Listing) and batch.cursor.name in listing.SPOKEN)
    longest, sync_type = context.settings.max_countdown, batch.run.sync_type
    choice = backoff.choose_wait(seconds, longest, is_optional=is_optional, sync_type=sync_type)
    if choice == "defer":
        reason = wait.reason if is_lookup else str(wait)
        return _defer(context, batch, calls, reason)
    parked = choice == "park"
    with batch.app.recorder.transaction(calls) as connection:
        reset_at = None if is_pace or is_budget else wait.until
        released = runs.release(
            connection, batch.run, batch.token, seconds, reset_at=reset_at, park=parked, fixed=is_budget
        )
        if released is not None:
            batch.events.record_release(connection, "parked" if parked else "wait", seconds, wait.reason, wait.family)
    result = BatchResult(
        has_more=True,
        rate_limited=not (is_pace or is_budget),
        rate_limit_reset_at=wait.until.isoformat(),
        error_message=str(wait),
    )
    if released is None:
        return Stale(orphaned=False, result=result)
    log.info("%s: %s", "parked" if parked else "waiting", wait)
    # Little jitter after a pace wait, so that the slot is used; more after a cooldown, so that not all retry at once.
    jitter = random.random() * (0.2 if is_pace else 1.0)  # noqa: S311
    return Parked(wait.until, result) if parked else Retry(seconds + jitter, result)


def _defer(context: Context, batch: ClaimedBatch, calls: BatchCalls, reason: str) -> Outcome:
    """Leave the work of the cursor to a later run, unless this one has ended during the request."""
    try:
        return _commit(context, batch, calls, DeferralStep(reason=reason))
    except ClaimLost as error:  # the caller handles an error already, so nothing else catches this one
        return _drop(error)


def _drop(error: ClaimLost) -> Outcome:
    log.info("batch dropped: %s", error)
    return _stale(str(error))


def _wait_for_others(context: Context, batch: ClaimedBatch, reason: str) -> Outcome:
    """Try again soon: by then the stubs are looked up, or their claims have ended with the lease or the other run."""
    seconds = OTHERS_WAIT_SECONDS * (0.5 + random.random())  # noqa: S311
    with context.database.begin() as connection:
        released = runs.release(connection, batch.run, batch.token, seconds)
        if released is not None:
            batch.events.record_wait(connection, seconds, reason)
    if released is None:
        return _stale(reason)
    log.info("%s; trying again in %.1f s", reason, seconds)
    return Retry(seconds, BatchResult(has_more=True))


def _hand_back(context: Context, batch: ClaimedBatch, calls: BatchCalls, reason: str) -> Outcome:
    """Leave the batch to another worker. This counts neither as a failure nor as an attempt."""
    with batch.app.recorder.transaction(calls) as connection:
        released = runs.release(connection, batch.run, batch.token, 0)
    if released is None:
        return _stale(reason)
    _release_stubs(context, batch)
    log.info("batch handed back: %s", reason)
    return Retry(0, BatchResult(has_more=True))


def _retry_later(context: Context, batch: ClaimedBatch, calls: BatchCalls, error: str) -> Outcome:
    """Retry the batch with backoff, a limited number of times since the last advance."""
    seconds = backoff.backoff_seconds(batch.at.failures + 1, random.random())  # noqa: S311
    if batch.at.failures + 1 >= MOST_FAILURES:
        return _fail(batch, calls, f"{error}; {MOST_FAILURES} tries in a row failed")
    with batch.app.recorder.transaction(calls) as connection:
        failures = runs.release(connection, batch.run, batch.token, seconds, error=error)
        if failures is not None:
            batch.events.record_release(connection, "retried", seconds, error)
    if failures is None:
        return _stale(error)
    _release_stubs(context, batch)
    log.warning("try %d of %d failed, retrying in %.1f s: %s", failures, MOST_FAILURES, seconds, error)
    return Retry(seconds, BatchResult(has_more=True, error_message=error, success=False))


def _retry_or_isolate(
    context: Context, batch: ClaimedBatch, calls: BatchCalls, requests: Sequence[Request], reason: str
) -> Outcome:
    """Retry; or put what fails aside, alone, once it has failed repeatedly while Spotify answers other requests."""
    if not requests or batch.at.failures + 1 < FAILURES_OF_ITEM:
        return _retry_later(context, batch, calls, reason)
    if _fetch(context, batch, (PROBE,), calls).error:
        return _retry_later(context, batch, calls, reason)
    step = isolation.isolate(batch.cursor, requests[0], reason)
    log.warning("put aside after %d failures: %s", batch.at.failures + 1, reason)
    return _commit(context, batch, calls, step)


def _is_all_unread(context: Context, batch: ClaimedBatch) -> bool:
    """Whether deferring the list of playlists, which comes last, leaves nothing that this run has read."""
    if not isinstance(batch.cursor, Listing) or batch.cursor.name != "playlists":
        return False
    with context.database.begin() as connection:
        unread = listings.count_unread(connection, batch.run.account_id, batch.run.id)
    return unread == 3  # the saved tracks, the followed artists and the saved albums


def _release_stubs(context: Context, batch: ClaimedBatch) -> None:
    """Release claimed stubs: the cause may concern only this account or worker, so other runs need not wait."""
    if isinstance(batch.cursor, Lookups):
        release = partial(catalogue.release_stubs, entity=batch.cursor.entity, sync_id=batch.run.id)
        context.database.transact(release)


def _fail(batch: ClaimedBatch, calls: BatchCalls, error: str) -> Outcome:
    with batch.app.recorder.transaction(calls) as connection:
        ended = runs.end(connection, batch.run.id, "failed", error=error, token=batch.token)
    if not ended:
        return _stale(error)
    log.error("the run failed: %s", error)
    return RunEnded("failed", _failed(error))


def _stale(reason: str, *, orphaned: bool = False) -> Stale:
    return Stale(orphaned=orphaned, result=_failed(reason))


def _failed(error: str) -> BatchResult:
    return BatchResult(error_message=error, success=False)
