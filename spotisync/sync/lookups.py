"""Which artists and albums to look up now, and how: for a run's batch, and for the backlog alike."""

from spotisync.core import lookups, regimes
from spotisync.core.cursors import Entity
from spotisync.core.regimes import LookupMode, Regime
from spotisync.core.requests import IDS_A_CALL, Request
from spotisync.store import apps, call_ledger, catalogue
from spotisync.store.database import Connection
from spotisync.sync.calls import BatchCalls
from spotisync.sync.context import Context


def get_lookup_mode(context: Context) -> tuple[Regime | None, LookupMode]:
    """What is known of the app, and how stubs are dealt with therefore."""
    with context.database.begin() as connection:
        regime = apps.get_regime(connection, context.settings.require_client_id())
    return regime, regimes.lookup_mode(context.settings.enrichment, regime)


def plan_lookups(
    context: Context, entity: Entity, sync_id: int, by: LookupMode, regime: Regime | None, calls: BatchCalls
) -> tuple[Request, ...] | None:
    """Claim stubs and ask for them: many a call, or one a call as far as the budget goes. None: it is spent."""
    if by == "singly":
        return _plan_singly(context, entity, sync_id, calls)
    # The first call of an app that is not known yet may be refused; one of them is enough.
    size = _batch_size(context, entity) if regime else IDS_A_CALL[entity]

    def claim(connection: Connection) -> tuple[list[str], set[str]]:
        catalogue.reopen_partial(connection, entity)
        ids = catalogue.claim_stubs(connection, entity, sync_id, size, context.settings.lease_seconds)
        return ids, catalogue.find_missed(connection, entity, ids)

    return lookups.plan_batched(entity, *context.database.transact(claim))


def plan_refresh(context: Context, entity: Entity) -> tuple[Request, ...]:
    """One call, for what was looked up longest ago."""
    settings = context.settings

    def claim(connection: Connection) -> list[str]:
        apps.record_refresh(connection, settings.require_client_id())
        most = IDS_A_CALL[entity]
        return catalogue.claim_stale(connection, entity, settings.refresh_days, most, settings.lease_seconds)

    return lookups.plan_batched(entity, context.database.transact(claim))


def _plan_singly(context: Context, entity: Entity, sync_id: int, calls: BatchCalls) -> tuple[Request, ...] | None:
    """The budget is spent when the stubs are claimed: whatever happens then, no more is asked than there is."""
    settings = context.settings

    def claim(connection: Connection) -> list[str] | None:
        catalogue.reopen_partial(connection, entity, looked_up=False)
        room = apps.lock_lookup_budget(connection, settings.require_client_id(), entity, settings.enrichment_budget)
        if not room:
            return None
        most = min(room, _batch_size(context, entity))
        ids = catalogue.claim_stubs(connection, entity, sync_id, most, settings.lease_seconds)
        call_ledger.record_calls(connection, settings.require_client_id(), calls.account_id, {entity: len(ids)})
        return ids

    ids = context.database.transact(claim)
    if ids is None:
        return None
    calls.mark_reserved(entity, len(ids))
    return lookups.plan_single(entity, ids)


def _batch_size(context: Context, entity: Entity) -> int:
    return context.settings.artists_batch_size if entity == "artists" else context.settings.albums_batch_size
