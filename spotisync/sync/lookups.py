"""Plan look-ups of artists and albums, for the batches of runs and for the backlog."""

from spotisync.core import lookups, regimes
from spotisync.core.cursors import Entity
from spotisync.core.regimes import LookupMode, Regime
from spotisync.core.requests import IDS_PER_CALL, Request
from spotisync.store import apps, call_ledger, catalogue
from spotisync.store.database import Connection
from spotisync.sync.apps import SpotifyApp
from spotisync.sync.calls import BatchCalls
from spotisync.sync.context import Context


def get_lookup_mode(context: Context, app: SpotifyApp) -> tuple[Regime | None, LookupMode]:
    """Return the app's regime, None if unknown, and the way to look up stubs that follows from it."""
    with context.database.begin() as connection:
        regime = apps.get_regime(connection, app.client_id)
    return regime, regimes.lookup_mode(context.settings.enrichment, regime)


def plan_lookups(
    context: Context,
    app: SpotifyApp,
    entity: Entity,
    sync_id: int,
    known: tuple[Regime | None, LookupMode],
    calls: BatchCalls,
) -> tuple[Request, ...] | None:
    """Claim stubs and plan their requests: many ids per call, or one within the budget. None: the budget is spent."""
    regime, mode = known
    if mode == "singly":
        return _plan_singly(context, app, entity, sync_id, calls)
    # While the regime is unknown, the call may be refused, so only one is sent.
    size = _batch_size(context, entity) if regime else IDS_PER_CALL[entity]

    def claim(connection: Connection) -> tuple[list[str], set[str]]:
        catalogue.reopen_partial(connection, entity)
        ids = catalogue.claim_stubs(connection, entity, sync_id, size, context.settings.lease_seconds)
        return ids, catalogue.find_missed(connection, entity, ids)

    return lookups.plan_batched(entity, *context.database.transact(claim))


def plan_refresh(context: Context, app: SpotifyApp, entity: Entity) -> tuple[Request, ...]:
    """Plan one call for the rows looked up longest ago."""
    settings = context.settings

    def claim(connection: Connection) -> list[str]:
        apps.record_refresh(connection, app.client_id)
        limit = IDS_PER_CALL[entity]
        return catalogue.claim_stale(connection, entity, settings.refresh_days, limit, settings.lease_seconds)

    return lookups.plan_batched(entity, context.database.transact(claim))


def _plan_singly(
    context: Context, app: SpotifyApp, entity: Entity, sync_id: int, calls: BatchCalls
) -> tuple[Request, ...] | None:
    """Charge the budget when the stubs are claimed, so that no failure afterwards can overspend it."""
    settings = context.settings

    def claim(connection: Connection) -> list[str] | None:
        catalogue.reopen_partial(connection, entity, looked_up=False)
        budget = apps.lock_lookup_budget(connection, app.developer, entity, settings.enrichment_budget)
        if not budget:
            return None
        limit = min(budget, _batch_size(context, entity))
        ids = catalogue.claim_stubs(connection, entity, sync_id, limit, settings.lease_seconds)
        call_ledger.record_calls(connection, app.developer, calls.account_id, {entity: len(ids)})
        return ids

    ids = context.database.transact(claim)
    if ids is None:
        return None
    calls.mark_reserved(entity, len(ids))
    return lookups.plan_single(entity, ids)


def _batch_size(context: Context, entity: Entity) -> int:
    return context.settings.artists_batch_size if entity == "artists" else context.settings.albums_batch_size
