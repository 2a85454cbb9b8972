"""Plan look-ups of artists and albums, for the batches of runs and for the backlog."""

from dataclasses import dataclass

from spotisync.core import lookups, regimes
from spotisync.core.budget import Purpose
from spotisync.core.cursors import Entity
from spotisync.core.regimes import LookupMode, Regime
from spotisync.core.requests import IDS_PER_CALL, Request
from spotisync.store import apps, call_ledger, catalogue, pending_lookups
from spotisync.store.database import Connection
from spotisync.sync.apps import SpotifyApp
from spotisync.sync.budgets import count_affordable, get_developer
from spotisync.sync.calls import BatchCalls
from spotisync.sync.context import Context


def get_lookup_mode(context: Context, app: SpotifyApp) -> tuple[Regime | None, LookupMode]:
    """Return the app's regime, None if unknown, and the way to look up stubs that follows from it."""
    with context.database.begin() as connection:
        regime = apps.get_regime(connection, app.client_id)
    return regime, regimes.lookup_mode(context.settings.enrichment, regime)


@dataclass(frozen=True)
class LookupTerms:
    """How ids are looked up, and from which part of the budget. `owner`: of the claims, a run or an app's backlog.

    `factor`: the size of the batch, as a multiple of the usual one.
    """

    owner: int
    regime: Regime | None
    mode: LookupMode
    purpose: Purpose
    factor: int = 1


def plan_lookups(
    context: Context, app: SpotifyApp, entity: Entity, terms: LookupTerms, calls: BatchCalls
) -> tuple[Request, ...] | None:
    """Claim stubs and plan their requests: many ids per call, or one within the budget. None: the budget is spent."""
    if terms.mode == "singly":
        return _plan_singly(context, app, entity, terms, calls)
    # While the regime is unknown, the call may be refused, so only one is sent.
    batch_size = context.settings.get_batch_size(entity, terms.factor)
    most = -(-batch_size // IDS_PER_CALL[entity]) if terms.regime else 1
    developer = get_developer(context, app)

    def claim(connection: Connection) -> tuple[list[str], set[str]] | None:
        catalogue.reopen_partial(connection, entity)
        affordable = count_affordable(connection, developer, entity, terms.purpose, most)
        if not affordable:
            return None
        size = min(batch_size, affordable * IDS_PER_CALL[entity])
        ids = _claim(connection, entity, terms.owner, size, context.settings.lease_seconds)
        return ids, catalogue.find_missed(connection, entity, ids)

    claimed = context.database.transact(claim)
    return None if claimed is None else lookups.plan_batched(entity, *claimed)


def _claim(connection: Connection, entity: Entity, owner: int, limit: int, lease_seconds: int) -> list[str]:
    """Claim stubs: a run those of its account, the backlog any."""
    claim = pending_lookups.claim if owner > 0 else catalogue.claim_stubs
    return claim(connection, entity, owner, limit, lease_seconds)


def plan_refresh(context: Context, app: SpotifyApp, entity: Entity) -> tuple[Request, ...] | None:
    """Plan one call for the rows looked up longest ago. None: the budget is spent."""
    settings, developer = context.settings, get_developer(context, app)

    def claim(connection: Connection) -> list[str] | None:
        if not count_affordable(connection, developer, entity, "refresh", 1):
            return None
        apps.record_refresh(connection, app.client_id)
        limit = IDS_PER_CALL[entity]
        return catalogue.claim_stale(connection, entity, settings.refresh_days, limit, settings.lease_seconds)

    ids = context.database.transact(claim)
    return None if ids is None else lookups.plan_batched(entity, ids)


def _plan_singly(
    context: Context, app: SpotifyApp, entity: Entity, terms: LookupTerms, calls: BatchCalls
) -> tuple[Request, ...] | None:
    """Charge the budget when the stubs are claimed, so that no failure afterwards can overspend it."""
    settings, developer = context.settings, get_developer(context, app)

    def claim(connection: Connection) -> list[str] | None:
        catalogue.reopen_partial(connection, entity, looked_up=False)
        left = apps.lock_lookup_budget(connection, app.developer, entity, settings.enrichment_budget)
        limit = min(left, settings.get_batch_size(entity, terms.factor))
        limit = count_affordable(connection, developer, entity, terms.purpose, limit)
        if not limit:
            return None
        ids = _claim(connection, entity, terms.owner, limit, settings.lease_seconds)
        call_ledger.record_calls(connection, app.developer, calls.account_id, {entity: len(ids)})
        return ids

    ids = context.database.transact(claim)
    if ids is None:
        return None
    calls.mark_reserved(entity, len(ids))
    return lookups.plan_single(entity, ids)
