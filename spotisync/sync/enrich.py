"""The backlog: look-ups that runs have put off are done when calls are free, one batch after the other.

No run stands behind it. What is left are the stubs themselves, so there is nothing to resume: a batch that is lost has
claims that end.
"""

import logging
from dataclasses import dataclass
from uuid import UUID, uuid4

from spotisync.core import lookups as lookup_requests
from spotisync.core import regimes
from spotisync.core.cursors import Entity, Lookups
from spotisync.core.parse import Unreadable
from spotisync.core.regimes import LookupMode, Regime
from spotisync.core.requests import Request
from spotisync.core.steps import Answer, DeferralStep, LookupStep
from spotisync.errors import AppBlocked, Fatal, Stopping, Transient, Wait
from spotisync.store import accounts, apps, call_ledger, catalogue
from spotisync.store.apps import Backlog
from spotisync.store.database import Connection
from spotisync.sync import lookups
from spotisync.sync.calls import BatchCalls
from spotisync.sync.commit import save_lookups
from spotisync.sync.context import Context
from spotisync.sync.fetch import ClaimLost, fetch
from spotisync.sync.tokens import AccountAccess

log = logging.getLogger(__name__)

NO_RUN = 0


@dataclass(frozen=True)
class EnrichOutcome:
    """How many look-ups of which family are in. `more`: there may be more to do at once."""

    family: str | None = None
    looked_up: int = 0
    more: bool = False
    # Nobody is to try again for so many seconds.
    pause: float = 0.0


NOTHING = EnrichOutcome()
REFUSED = EnrichOutcome(pause=900)


@dataclass(frozen=True)
class BacklogClaim:
    """Ours to drain: nobody else does it meanwhile."""

    entity: Entity
    by: LookupMode
    regime: Regime | None
    token: UUID
    refresh: bool = False


def enrich(context: Context) -> EnrichOutcome:
    """One batch, if there is something to look up, no run is going and Spotify has not told us to wait."""
    if context.settings.enrichment == "off":
        return NOTHING
    client_id = context.settings.require_client_id()
    with context.database.begin() as connection:
        backlog = apps.get_backlog(connection, client_id, context.settings.refresh_days)
    by = regimes.lookup_mode(context.settings.enrichment, backlog.regime)
    due = backlog.entities_due(by) if backlog.idle else []
    if due and by == "partial":
        return _settle(context, due)
    due = [entity for entity in due if context.gate.find_block(entity) is None]
    for entity in due:
        done = _take_turn(context, BacklogClaim(entity, by, backlog.regime, uuid4()))
        if done is not None:
            return done
    return NOTHING if due else _refresh(context, backlog, by)


def _refresh(context: Context, backlog: Backlog, by: LookupMode) -> EnrichOutcome:
    """With nothing else to do: what was looked up longest ago, one call of it.

    In the full regime alone. A restricted app would spend a call on each row, for next to nothing.
    """
    free = [entity for entity in apps.ENTITIES if entity in backlog.stale and context.gate.find_block(entity) is None]
    if not (free and backlog.idle and backlog.regime == "full"):
        return NOTHING
    return _take_turn(context, BacklogClaim(free[0], by, backlog.regime, uuid4(), refresh=True)) or NOTHING


def _settle(context: Context, due: list[Entity]) -> EnrichOutcome:
    """What the pages told is all that is wanted."""
    with context.database.begin() as connection:
        for entity in due:
            catalogue.mark_stubs_partial(connection, entity)
    return NOTHING


def _take_turn(context: Context, turn: BacklogClaim) -> EnrichOutcome | None:
    """None: the budget of this family is spent."""
    claimant = context.database.get_claimant()
    client_id, lease = context.settings.require_client_id(), context.settings.lease_seconds
    with context.database.begin() as connection:
        if not apps.claim_backlog(connection, client_id, turn.token, claimant, lease):
            return NOTHING
        call_ledger.trim(connection)
        names = accounts.list_accounts(connection, active=True)
    done: EnrichOutcome | None = NOTHING
    try:
        done = _ask_for(context, turn, [account.id for account in names])
        return done
    finally:
        with context.database.begin() as connection:
            apps.release_backlog(connection, client_id, turn.token, done.pause if done else 0)


def _ask_for(context: Context, turn: BacklogClaim, account_ids: list[int]) -> EnrichOutcome | None:
    """With the token of any account: what is looked up is everybody's."""
    for account_id in account_ids:
        calls = context.recorder.open(None, account_id)
        try:
            requests = _plan(context, turn, calls)
            return None if requests is None else _batch(context, turn, account_id, requests, calls)
        except Stopping:
            context.database.transact(lambda connection: catalogue.release_stubs(connection, turn.entity, NO_RUN))
            return NOTHING
        except (Wait, Transient, ClaimLost) as told:
            log.info("look-ups of %s go on later: %s", turn.entity, told)
            return NOTHING
        except Fatal as told:
            log.warning("account %d can't look anything up: %s", account_id, told)
            if isinstance(told, AppBlocked):
                break
        finally:
            context.recorder.close(calls)
    return REFUSED


def _plan(context: Context, turn: BacklogClaim, calls: BatchCalls) -> tuple[Request, ...] | None:
    if turn.refresh:
        return lookups.plan_refresh(context, turn.entity)
    return lookups.plan_lookups(context, turn.entity, NO_RUN, turn.by, turn.regime, calls)


def _batch(
    context: Context, turn: BacklogClaim, account_id: int, requests: tuple[Request, ...], calls: BatchCalls
) -> EnrichOutcome:
    client_id, lease = context.settings.require_client_id(), context.settings.lease_seconds

    def alive() -> bool:
        with context.database.begin() as connection:
            return apps.renew_backlog_claim(connection, client_id, turn.token, lease)

    fetched = fetch(context, AccountAccess(context, account_id), requests, calls, alive)
    if fetched.trouble and not fetched.answers:
        raise fetched.trouble
    step = _fold(turn.entity, fetched.answers)
    noted = calls.get_unwritten()

    def write(connection: Connection) -> int:
        if not apps.renew_backlog_claim(connection, client_id, turn.token, lease):
            raise ClaimLost("somebody else looks up what is left by now")
        enriched = _write(connection, client_id, turn, step)
        context.recorder.write(connection, calls, noted)
        return enriched

    enriched = context.database.transact(write)
    calls.mark_written(noted)
    log.info("%d %s looked up later, %d calls", enriched, turn.entity, calls.sent)
    deferred = isinstance(step, DeferralStep)
    more = not (deferred or fetched.trouble or turn.refresh) and bool(requests)
    return EnrichOutcome(turn.entity, enriched, more, REFUSED.pause if deferred else 0)


def _fold(entity: Entity, answers: list[Answer]) -> LookupStep | DeferralStep:
    """If the first answer is unreadable, its ids have missed an answer: otherwise they would block the backlog."""
    try:
        return lookup_requests.fold(Lookups(entity), answers)
    except Unreadable:
        missed = frozenset(answers[0].request.ids) if answers else frozenset[str]()
        return LookupStep(cursor=Lookups(entity), entity=entity, missed=missed)


def _write(connection: Connection, client_id: str, turn: BacklogClaim, step: LookupStep | DeferralStep) -> int:
    if isinstance(step, DeferralStep):
        return 0
    if step.regime:
        apps.record_regime(connection, client_id, step.regime)
    if not turn.refresh:
        return save_lookups(connection, step)
    catalogue.save_rows(connection, step.catalogue)
    return catalogue.mark_refreshed(connection, turn.entity, step.known, step.gone, step.missed)
