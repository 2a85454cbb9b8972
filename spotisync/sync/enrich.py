"""Work off the backlog: look-ups that runs deferred are done in batches when calls are free.

The backlog belongs to no run. The pending work is the stubs themselves, so there is nothing to resume: the claims of a
lost batch expire.
"""

import logging
from collections.abc import Sequence
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
from spotisync.store import accounts, apps, catalogue
from spotisync.store.accounts import Account
from spotisync.store.apps import Backlog
from spotisync.store.database import Connection
from spotisync.sync import lookups
from spotisync.sync.apps import SpotifyApp
from spotisync.sync.calls import BatchCalls
from spotisync.sync.commit import save_lookups
from spotisync.sync.context import Context
from spotisync.sync.fetch import PROBE, ClaimLost, fetch
from spotisync.sync.lookups import LookupTerms
from spotisync.sync.tokens import AccountAccess

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnrichOutcome:
    """The look-ups done, and their family. `more`: the next batch may start at once."""

    family: str | None = None
    looked_up: int = 0
    more: bool = False
    # No worker claims the backlog for this long.
    pause_seconds: float = 0.0


NOTHING_DONE = EnrichOutcome()
ALL_REFUSED = EnrichOutcome(pause_seconds=900)


@dataclass(frozen=True)
class Drain:
    """An app, its accounts, and all accounts of its developer.

    `owner` stands for the id of a run in the claims of stubs: below 1, and another one for each app.
    """

    app: SpotifyApp
    account_ids: list[int]
    developer_ids: list[int]
    owner: int = 0


@dataclass(frozen=True)
class BacklogClaim:
    """An app's exclusive claim on the backlog of one kind. `refresh`: stale rows instead of stubs."""

    drain: Drain
    entity: Entity
    mode: LookupMode
    regime: Regime | None
    token: UUID
    refresh: bool = False

    @property
    def app(self) -> SpotifyApp:
        return self.drain.app

    @property
    def owner(self) -> int:
        return self.drain.owner


def enrich(context: Context) -> EnrichOutcome:
    """Look up one batch with each app if look-ups are pending, few of its runs are in progress and it may send calls.

    The catalogue is shared, so each app shortens the backlog of all.
    """
    if context.settings.enrichment == "off":
        return NOTHING_DONE
    with context.database.begin() as connection:
        active = accounts.list_accounts(connection, active=True)
    states = [_read_state(context, drain) for drain in _group_by_app(context, active)]
    # While another app can look stubs up, they are not settled by one that would not.
    able = [state for state in states if state.mode != "partial"]
    done = [_enrich_with(context, state) for state in able or states]
    return next((each for each in done if each.more), next((each for each in done if each.looked_up), done[0]))


def _group_by_app(context: Context, active: list[Account]) -> list[Drain]:
    """Without accounts, the default app alone."""
    by_app: dict[str, list[int]] = {}
    by_developer: dict[str, list[int]] = {}
    found: dict[str, SpotifyApp] = {}
    for account in active:
        app = context.apps.get(account)
        found[app.client_id] = app
        by_app.setdefault(app.client_id, []).append(account.id)
        by_developer.setdefault(app.developer, []).append(account.id)
    owners = {id_: 0 if id_ == context.default_app.client_id else -min(ids) for id_, ids in by_app.items()}
    drains = [Drain(app, by_app[id_], by_developer[app.developer], owners[id_]) for id_, app in found.items()]
    return drains or [Drain(context.default_app, [], [])]


@dataclass(frozen=True)
class AppBacklog:
    """The backlog as one app sees it."""

    drain: Drain
    backlog: Backlog
    mode: LookupMode


def _read_state(context: Context, drain: Drain) -> AppBacklog:
    with context.database.begin() as connection:
        identity, days = drain.app.identity, context.settings.refresh_days
        backlog = apps.get_backlog(connection, identity, drain.developer_ids, days, drain.app.gate.rate)
    return AppBacklog(drain, backlog, regimes.lookup_mode(context.settings.enrichment, backlog.regime))


def _enrich_with(context: Context, state: AppBacklog) -> EnrichOutcome:
    drain, backlog, mode = state.drain, state.backlog, state.mode
    app = drain.app
    due = backlog.entities_due(mode) if backlog.idle else []
    if due and mode == "partial":
        return _mark_partial(context, due)
    due = [entity for entity in due if app.gate.find_block(entity) is None]
    for entity in due:
        done = _work_claimed(context, BacklogClaim(drain, entity, mode, backlog.regime, uuid4()))
        if done is not None:
            return done
    return NOTHING_DONE if due else _refresh_stale(context, drain, backlog, mode)


def _refresh_stale(context: Context, drain: Drain, backlog: Backlog, mode: LookupMode) -> EnrichOutcome:
    """Refresh the rows looked up longest ago with one call. Runs only when no look-up is due.

    Only in the full regime: a restricted app would spend a call on each row for little new data.
    """
    gate = drain.app.gate
    free = [entity for entity in apps.ENTITIES if entity in backlog.stale and gate.find_block(entity) is None]
    if not (free and backlog.idle and backlog.regime == "full"):
        return NOTHING_DONE
    claim = BacklogClaim(drain, free[0], mode, backlog.regime, uuid4(), refresh=True)
    return _work_claimed(context, claim) or NOTHING_DONE


def _mark_partial(context: Context, due: list[Entity]) -> EnrichOutcome:
    """Mark stubs as partial: in this mode, the data from list pages is sufficient."""
    with context.database.begin() as connection:
        for entity in due:
            catalogue.mark_stubs_partial(connection, entity)
    return NOTHING_DONE


def _work_claimed(context: Context, claim: BacklogClaim) -> EnrichOutcome | None:
    """Claim the backlog and look up a batch. None: the budget of this family is spent."""
    claimant = context.database.get_claimant()
    client_id, lease = claim.app.client_id, context.settings.lease_seconds
    with context.database.begin() as connection:
        if not apps.claim_backlog(connection, client_id, claim.token, claimant, lease):
            return NOTHING_DONE
    done: EnrichOutcome | None = NOTHING_DONE
    try:
        done = _try_accounts(context, claim)
        return done
    finally:
        with context.database.begin() as connection:
            apps.release_backlog(connection, client_id, claim.token, done.pause_seconds if done else 0)


def _try_accounts(context: Context, claim: BacklogClaim) -> EnrichOutcome | None:
    """Look up a batch with the token of the app's first account that works: all accounts share the catalogue."""
    for account_id in claim.drain.account_ids:
        calls = claim.app.recorder.open(None, account_id)
        try:
            requests = _plan(context, claim, calls)
            return None if requests is None else _look_up(context, claim, account_id, requests, calls)
        except Stopping:
            context.database.transact(lambda connection: catalogue.release_stubs(connection, claim.entity, claim.owner))
            return NOTHING_DONE
        except (Wait, Transient, ClaimLost) as error:
            log.info("look-ups of %s continue later: %s", claim.entity, error)
            return NOTHING_DONE
        except Fatal as error:
            log.warning("look-ups with the token of account %d failed: %s", account_id, error)
            if isinstance(error, AppBlocked):
                break
        finally:
            claim.app.recorder.close(calls)
    return ALL_REFUSED


def _plan(context: Context, claim: BacklogClaim, calls: BatchCalls) -> tuple[Request, ...] | None:
    if claim.refresh:
        return lookups.plan_refresh(context, claim.app, claim.entity)
    terms = LookupTerms(claim.owner, claim.regime, claim.mode, "look-ups")
    return lookups.plan_lookups(context, claim.app, claim.entity, terms, calls)


def _look_up(
    context: Context, claim: BacklogClaim, account_id: int, requests: tuple[Request, ...], calls: BatchCalls
) -> EnrichOutcome:
    client_id, lease = claim.app.client_id, context.settings.lease_seconds

    def renew() -> bool:
        with context.database.begin() as connection:
            return apps.renew_backlog_claim(connection, client_id, claim.token, lease)

    access = AccountAccess(context, account_id)
    fetched = fetch(context, access, requests, calls, renew)
    if fetched.error and not fetched.answers:
        if not isinstance(fetched.error, Transient) or fetch(context, access, (PROBE,), calls, renew).error:
            raise fetched.error
        # Spotify answers other requests: a miss of these ids, which would otherwise block the backlog.
        step: LookupStep | DeferralStep = _miss(claim.entity, requests[0].ids)
    else:
        step = _fold(claim.entity, fetched.answers)
    unwritten = calls.get_unwritten()

    def write(connection: Connection) -> int:
        if not apps.renew_backlog_claim(connection, client_id, claim.token, lease):
            raise ClaimLost("another worker has claimed the backlog")
        enriched = _write(connection, client_id, claim, step)
        claim.app.recorder.write(connection, calls, unwritten)
        return enriched

    enriched = context.database.transact(write)
    calls.mark_written(unwritten)
    log.info("deferred look-ups: %d %s, %d calls", enriched, claim.entity, calls.sent)
    deferred = isinstance(step, DeferralStep)
    more = not (deferred or fetched.error or claim.refresh) and bool(requests)
    return EnrichOutcome(claim.entity, enriched, more, ALL_REFUSED.pause_seconds if deferred else 0)


def _fold(entity: Entity, answers: list[Answer]) -> LookupStep | DeferralStep:
    """Count an unreadable first answer as a miss of its ids, which would otherwise block the backlog."""
    try:
        return lookup_requests.fold(Lookups(entity), answers)
    except Unreadable:
        return _miss(entity, answers[0].request.ids if answers else ())


def _miss(entity: Entity, ids: Sequence[str]) -> LookupStep:
    return LookupStep(cursor=Lookups(entity), entity=entity, missed=frozenset(ids))


def _write(connection: Connection, client_id: str, claim: BacklogClaim, step: LookupStep | DeferralStep) -> int:
    if isinstance(step, DeferralStep):
        return 0
    if step.regime:
        apps.record_regime(connection, client_id, step.regime)
    if not claim.refresh:
        return save_lookups(connection, step)
    catalogue.save_rows(connection, step.catalogue)
    return catalogue.mark_refreshed(connection, claim.entity, step.known, step.gone, step.missed)
