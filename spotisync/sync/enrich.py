"""The backlog: look-ups that runs have put off are done when calls are free, one batch after the other.

No run stands behind it. What is left are the stubs themselves, so there is nothing to resume: a batch that is lost has
claims that end.
"""

import logging
from dataclasses import dataclass
from uuid import UUID, uuid4

from spotisync.core import phases, regimes
from spotisync.core.cursors import Lookups
from spotisync.core.parse import Unreadable
from spotisync.core.phases import Answer, Entity, Step
from spotisync.core.regimes import Regime, Way
from spotisync.core.requests import Request
from spotisync.errors import AppBlocked, Fatal, Stopping, Transient, Wait
from spotisync.store import accounts, apps, catalogue, ledger
from spotisync.store.apps import Backlog
from spotisync.store.database import Connection
from spotisync.sync import lookups
from spotisync.sync.calls import Calls
from spotisync.sync.commit import save_looked_up
from spotisync.sync.context import Sync
from spotisync.sync.fetch import ClaimLost, fetch
from spotisync.sync.tokens import Access

log = logging.getLogger(__name__)

NO_RUN = 0


@dataclass(frozen=True)
class Enriched:
    """How many look-ups of which family are in. `more`: there may be more to do at once."""

    family: str | None = None
    looked_up: int = 0
    more: bool = False
    # Nobody is to try again for so many seconds.
    pause: float = 0.0


NOTHING = Enriched()
REFUSED = Enriched(pause=900)


@dataclass(frozen=True)
class Turn:
    """Ours to drain: nobody else does it meanwhile."""

    entity: Entity
    by: Way
    regime: Regime | None
    token: UUID
    refresh: bool = False


def enrich(sync: Sync) -> Enriched:
    """One batch, if there is something to look up, no run is going and Spotify has not told us to wait."""
    if sync.settings.enrichment == "off":
        return NOTHING
    client_id = sync.settings.require_client_id()
    with sync.database.begin() as connection:
        backlog = apps.backlog(connection, client_id, sync.settings.refresh_days)
    by = regimes.way(sync.settings.enrichment, backlog.regime)
    due = backlog.due(by) if backlog.idle else []
    if due and by == "partial":
        return _settle(sync, due)
    due = [entity for entity in due if sync.gate.block(entity) is None]
    for entity in due:
        done = _take_turn(sync, Turn(entity, by, backlog.regime, uuid4()))
        if done is not None:
            return done
    return NOTHING if due else _refresh(sync, backlog, by)


def _refresh(sync: Sync, backlog: Backlog, by: Way) -> Enriched:
    """With nothing else to do: what was looked up longest ago, one call of it.

    In the full regime alone. A restricted app would spend a call on each row, for next to nothing.
    """
    free = [entity for entity in apps.ENTITIES if entity in backlog.stale and sync.gate.block(entity) is None]
    if not (free and backlog.idle and backlog.regime == "full"):
        return NOTHING
    return _take_turn(sync, Turn(free[0], by, backlog.regime, uuid4(), refresh=True)) or NOTHING


def _settle(sync: Sync, due: list[Entity]) -> Enriched:
    """What the pages told is all that is wanted."""
    with sync.database.begin() as connection:
        for entity in due:
            catalogue.settle(connection, entity)
    return NOTHING


def _take_turn(sync: Sync, turn: Turn) -> Enriched | None:
    """None: the budget of this family is spent."""
    claimant = sync.database.presence()
    client_id, lease = sync.settings.require_client_id(), sync.settings.lease_seconds
    with sync.database.begin() as connection:
        if not apps.claim(connection, client_id, turn.token, claimant, lease):
            return NOTHING
        ledger.trim(connection)
        names = accounts.every(connection, active=True)
    done: Enriched | None = NOTHING
    try:
        done = _ask_for(sync, turn, [account.id for account in names])
        return done
    finally:
        with sync.database.begin() as connection:
            apps.release(connection, client_id, turn.token, done.pause if done else 0)


def _ask_for(sync: Sync, turn: Turn, account_ids: list[int]) -> Enriched | None:
    """With the token of any account: what is looked up is everybody's."""
    for account_id in account_ids:
        calls = sync.book.open(None, account_id)
        try:
            requests = _plan(sync, turn, calls)
            return None if requests is None else _batch(sync, turn, account_id, requests, calls)
        except Stopping:
            sync.database.transact(lambda connection: catalogue.let_go(connection, turn.entity, NO_RUN))
            return NOTHING
        except (Wait, Transient, ClaimLost) as told:
            log.info("look-ups of %s go on later: %s", turn.entity, told)
            return NOTHING
        except Fatal as told:
            log.warning("account %d can't look anything up: %s", account_id, told)
            if isinstance(told, AppBlocked):
                break
        finally:
            sync.book.close(calls)
    return REFUSED


def _plan(sync: Sync, turn: Turn, calls: Calls) -> tuple[Request, ...] | None:
    if turn.refresh:
        return lookups.plan_refresh(sync, turn.entity)
    return lookups.plan(sync, turn.entity, NO_RUN, turn.by, turn.regime, calls)


def _batch(sync: Sync, turn: Turn, account_id: int, requests: tuple[Request, ...], calls: Calls) -> Enriched:
    client_id, lease = sync.settings.require_client_id(), sync.settings.lease_seconds

    def alive() -> bool:
        with sync.database.begin() as connection:
            return apps.renew(connection, client_id, turn.token, lease)

    fetched = fetch(sync, Access(sync, account_id), requests, calls, alive)
    if fetched.trouble and not fetched.answers:
        raise fetched.trouble
    step = _fold(turn.entity, fetched.answers)
    noted = calls.unwritten()

    def write(connection: Connection) -> int:
        if not apps.renew(connection, client_id, turn.token, lease):
            raise ClaimLost("somebody else looks up what is left by now")
        enriched = _write(connection, client_id, turn, step)
        sync.book.write(connection, calls, noted)
        return enriched

    enriched = sync.database.transact(write)
    calls.written(noted)
    log.info("%d %s looked up later, %d calls", enriched, turn.entity, calls.sent)
    more = not (step.deferred or fetched.trouble or turn.refresh) and bool(requests)
    return Enriched(turn.entity, enriched, more, REFUSED.pause if step.deferred else 0)


def _fold(entity: Entity, answers: list[Answer]) -> Step:
    """Nothing readable for the first of them counts against these ids, or they would bar the way for ever."""
    try:
        return phases.fold_lookups(Lookups(), entity, answers)
    except Unreadable:
        missed = frozenset(answers[0].request.ids) if answers else frozenset()
        return Step(Lookups(), looked_up=entity, missed=missed)


def _write(connection: Connection, client_id: str, turn: Turn, step: Step) -> int:
    if step.regime:
        apps.learn(connection, client_id, step.regime)
    if not turn.refresh:
        return save_looked_up(connection, turn.entity, step)
    catalogue.save(connection, step.catalogue)
    return catalogue.refreshed(connection, turn.entity, step.known, step.gone, step.missed)
