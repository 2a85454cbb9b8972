"""Which artists and albums to look up now, and how: for a run's batch, and for the backlog alike."""

from spotisync.core import phases, regimes
from spotisync.core.phases import Entity
from spotisync.core.regimes import Regime, Way
from spotisync.core.requests import IDS_A_CALL, Request
from spotisync.store import apps, catalogue, ledger
from spotisync.store.database import Connection
from spotisync.sync.calls import Calls
from spotisync.sync.context import Sync


def way(sync: Sync) -> tuple[Regime | None, Way]:
    """What is known of the app, and how stubs are dealt with therefore."""
    with sync.database.begin() as connection:
        regime = apps.regime(connection, sync.settings.require_client_id())
    return regime, regimes.way(sync.settings.enrichment, regime)


def plan(
    sync: Sync, entity: Entity, sync_id: int, by: Way, regime: Regime | None, calls: Calls
) -> tuple[Request, ...] | None:
    """Claim stubs and ask for them: many a call, or one a call as far as the budget goes. None: it is spent."""
    if by == "singly":
        return _plan_singly(sync, entity, sync_id, calls)
    # The first call of an app that is not known yet may be refused; one of them is enough.
    size = _batch_size(sync, entity) if regime else IDS_A_CALL[entity]

    def claim(connection: Connection) -> tuple[list[str], set[str]]:
        catalogue.reopen(connection, entity)
        ids = catalogue.claim_stubs(connection, entity, sync_id, size, sync.settings.lease_seconds)
        return ids, catalogue.missed_before(connection, entity, ids)

    return tuple(phases.plan_lookups(entity, *sync.database.transact(claim)))


def plan_refresh(sync: Sync, entity: Entity) -> tuple[Request, ...]:
    """One call, for what was looked up longest ago."""
    settings = sync.settings

    def claim(connection: Connection) -> list[str]:
        apps.refreshed(connection, settings.require_client_id())
        most = IDS_A_CALL[entity]
        return catalogue.claim_stale(connection, entity, settings.refresh_days, most, settings.lease_seconds)

    return tuple(phases.plan_lookups(entity, sync.database.transact(claim)))


def _plan_singly(sync: Sync, entity: Entity, sync_id: int, calls: Calls) -> tuple[Request, ...] | None:
    """The budget is spent when the stubs are claimed: whatever happens then, no more is asked than there is."""
    settings = sync.settings

    def claim(connection: Connection) -> list[str] | None:
        catalogue.reopen(connection, entity, looked_up=False)
        room = apps.room(connection, settings.require_client_id(), entity, settings.enrichment_budget)
        if not room:
            return None
        most = min(room, _batch_size(sync, entity))
        ids = catalogue.claim_stubs(connection, entity, sync_id, most, settings.lease_seconds)
        ledger.add(connection, settings.require_client_id(), calls.account_id, {entity: len(ids)})
        return ids

    ids = sync.database.transact(claim)
    if ids is None:
        return None
    calls.reserved(entity, len(ids))
    return tuple(phases.plan_single_lookups(entity, ids))


def _batch_size(sync: Sync, entity: Entity) -> int:
    return sync.settings.artists_batch_size if entity == "artists" else sync.settings.albums_batch_size
