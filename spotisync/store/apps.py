"""The Spotify app: its regime, its backlog of look-ups, and the claim on draining that backlog."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from spotisync.core.apps import App
from spotisync.core.cursors import Entity
from spotisync.core.regimes import Enrichment, KnownRegime, LookupMode, Regime, days_until_done, lookup_mode
from spotisync.core.requests import IDS_PER_CALL
from spotisync.store import call_ledger, catalogue, playlists, reply_shapes
from spotisync.store.database import Claimant, Connection, execute

ENTITIES: tuple[Entity, ...] = ("artists", "albums")
# An arbitrary number that no other lock in this database uses.
ADVISORY_LOCK = 7_364_922


def get_regime(connection: Connection, client_id: str) -> Regime | None:
    found = execute(connection, "SELECT regime FROM apps WHERE client_id = :id", {"id": client_id})
    known: Regime | None = found.scalar_one_or_none()
    return known


def record_regime(connection: Connection, client_id: str, regime: Regime) -> bool:
    """Weigh the regime that a reply shows. Returns whether the app's regime is new; a full one reopens its reads."""
    known = _get_known_regime(connection, client_id)
    weighed = known.after(regime)
    if weighed == known:
        return False
    execute(
        connection,
        """INSERT INTO apps AS a (client_id, regime, regime_since, contrary_replies)
        VALUES (:id, :regime, now(), :contrary)
        ON CONFLICT (client_id) DO UPDATE SET regime = excluded.regime, contrary_replies = excluded.contrary_replies,
            regime_since = CASE WHEN a.regime = excluded.regime THEN a.regime_since ELSE now() END""",
        {"id": client_id, "regime": weighed.regime, "contrary": weighed.contrary},
    )
    if weighed.regime == known.regime:
        return False
    if known.regime:
        reply_shapes.open_regime_alarm(connection, client_id, known.regime, regime)
    if regime == "full":
        for entity in ENTITIES:
            catalogue.reopen_partial(connection, entity)
        playlists.mark_restricted_reads_stale(connection)
    return True


def _get_known_regime(connection: Connection, client_id: str) -> KnownRegime:
    row = execute(
        connection,
        f"""SELECT (SELECT regime FROM apps WHERE client_id = :id) AS regime,
            COALESCE((SELECT contrary_replies FROM apps WHERE client_id = :id), 0) AS contrary,
            {reply_shapes.LOOKUPS_REFUSED} AS lookups_refused""",
        {"id": client_id},
    )
    return KnownRegime(**row.mappings().one())


def lock_lookup_budget(connection: Connection, developer: str, family: Entity, budget: int) -> int:
    """Lock the budget until the transaction ends, so that it is not overspent; return the look-ups left in it."""
    # An advisory lock, since the developer's apps share the budget and no row stands for all of them.
    execute(
        connection, f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK}, hashtext(:developer))", {"developer": developer}
    )
    return max(0, budget - call_ledger.count_last_day(connection, developer, family))


# ---- backlog --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backlog:
    """Which catalogue tables have pending look-ups. `idle`: no run needs the calls that these would cost."""

    regime: Regime | None
    idle: bool
    stubs: frozenset[Entity]
    # `partial` rows come from list pages alone; `poor` ones were looked up in the restricted regime.
    partial: frozenset[Entity]
    poor: frozenset[Entity]
    # Rows looked up long ago; empty while calls are scarce.
    stale: frozenset[Entity] = frozenset()

    def entities_due(self, by: LookupMode) -> list[Entity]:
        open_ = {"together": self.stubs | self.partial | self.poor, "singly": self.stubs | self.partial}
        return [entity for entity in ENTITIES if entity in open_.get(by, self.stubs)]


def get_backlog(
    connection: Connection, app: App, account_ids: Collection[int], refresh_days: int = 0, rate: int = 0
) -> Backlog:
    """Read the backlog in one cheap query, since it is nearly always empty.

    `account_ids`: the accounts of the app's developer, whose runs come first. `rate`: its pace, in calls per 30 s, or
    0 without one.
    """
    bound = {
        "id": app.client_id,
        "developer": app.developer,
        "accounts": list(account_ids),
        "days": refresh_days,
        "rate": rate,
    }
    row = execute(connection, _BACKLOG, bound).mappings().one()

    def entities_with(state: str) -> frozenset[Entity]:
        return frozenset(entity for entity in ENTITIES if row[f"{entity}_{state}"])

    states = (entities_with(state) for state in ("stubs", "partial", "poor", "stale"))
    return Backlog(row["regime"], row["idle"], *states)


def _backlog_columns(entity: Entity) -> str:
    rows = f"SELECT 1 FROM {entity} WHERE enrichment"
    return f"""EXISTS ({rows} = 'stub' AND lookup_attempts < {catalogue.MOST_ATTEMPTS}) AS {entity}_stubs,
        EXISTS ({rows} = 'partial' AND enriched_at IS NULL) AS {entity}_partial,
        EXISTS ({rows} = 'partial' AND enriched_at IS NOT NULL) AS {entity}_poor,
        :days > 0 AND {_CALLS_TO_SPARE} AND EXISTS (SELECT 1 FROM {entity} WHERE {catalogue.STALE}) AS {entity}_stale"""


# Of one account in twenty at most, and no more calls in the last one to two minutes than half the pace of one: with
# thousands of accounts there is no moment without a run.
_FEW_CALLS = """(:rate = 0 OR :rate >= (SELECT COALESCE(sum(calls), 0) FROM call_ledger
    WHERE client_id = :developer AND minute >= date_trunc('minute', now()) - interval '1 minute'))"""


def _few_runs(statuses: str) -> str:
    """SQL that tells whether runs with these statuses leave calls to spare."""
    return f"""(SELECT count(*) = 0 OR count(*) * 20 <= cardinality(CAST(:accounts AS bigint[])) AND {_FEW_CALLS}
        FROM sync_history WHERE status IN ({statuses}) AND account_id = ANY(:accounts))"""


# A refresh of stale rows is never urgent: at most every 30 minutes, not within a day of a quota 429, and not while
# more than a few runs are unfinished.
_CALLS_TO_SPARE = f"""{_few_runs("'pending', 'in_progress', 'rate_limited'")}
    AND NOT EXISTS (SELECT 1 FROM apps WHERE client_id = :id AND refreshed_at > now() - interval '30 minutes')
    AND NOT EXISTS (SELECT 1 FROM rate_limits WHERE client_id = :developer AND reason = 'quota'
        AND blocked_until > now() - interval '24 hours')"""


_BACKLOG = f"""SELECT (SELECT regime FROM apps WHERE client_id = :id) AS regime,
    {_few_runs("'in_progress'")} AS idle,
    {", ".join(_backlog_columns(entity) for entity in ENTITIES)}"""


@dataclass(frozen=True)
class BacklogForecast:
    """Pending look-ups of one family, the calls it used in the last 24 hours, and the forecast of its end.

    `budget`: calls in 24 hours; None without a limit. In the full regime one call takes many ids. `done_at` is None if
    nothing is pending or look-ups are off.
    """

    family: Entity
    way: LookupMode
    pending: int
    budget: int | None
    used: int
    done_at: datetime | None


def forecast_lookups(
    connection: Connection, app: App, enrichment: Enrichment, budget: int, allowances: Mapping[str, int] | None = None
) -> list[BacklogForecast]:
    """As if this app alone looked them up.

    `budget`: of single look-ups, SPOTISYNC_ENRICHMENT_BUDGET. `allowances`: calls that look-ups may spend in 24 hours,
    of the families with a ceiling.
    """
    by = lookup_mode(enrichment, get_regime(connection, app.client_id))
    single = [budget] if by == "singly" else []
    most = {entity: min([*single, *_pick(allowances, entity)], default=None) for entity in ENTITIES}
    return [_forecast(connection, app.developer, entity, by, most[entity]) for entity in ENTITIES]


def _pick(allowances: Mapping[str, int] | None, entity: Entity) -> list[int]:
    return [allowances[entity]] if allowances and entity in allowances else []


def _forecast(
    connection: Connection, developer: str, entity: Entity, by: LookupMode, most: int | None
) -> BacklogForecast:
    pending = execute(connection, _count_pending(entity, by)).scalar_one()
    used = call_ledger.count_last_day(connection, developer, entity)
    calls = pending if by == "singly" else -(-pending // IDS_PER_CALL[entity])
    days = days_until_done(calls, most, used) if most else 0
    done_at = execute(connection, _DONE_AT, {"developer": developer, "family": entity, "days": days}).scalar_one()
    return BacklogForecast(
        family=entity,
        way=by,
        pending=pending,
        budget=most,
        used=used,
        done_at=done_at if pending and by in {"together", "singly"} else None,
    )


def _count_pending(entity: Entity, by: LookupMode) -> str:
    """SQL that counts each condition by its own partial index; one combined condition would scan the table."""
    counts = (f"(SELECT count(*) FROM {entity} WHERE {condition})" for condition in _PENDING[by])
    return f"SELECT {' + '.join(counts)}"


_PENDING: dict[LookupMode, tuple[str, ...]] = {
    "together": ("enrichment = 'stub'", "enrichment = 'partial'"),
    "singly": ("enrichment = 'stub'", "enrichment = 'partial' AND enriched_at IS NULL"),
    "partial": ("enrichment = 'stub'",),
    "off": ("enrichment = 'stub'",),
}
# Not before the last cooldown ends.
_DONE_AT = """SELECT GREATEST(now() + make_interval(days => :days), (SELECT max(blocked_until) FROM rate_limits
    WHERE client_id = :developer AND family IN (:family, '*')))"""


# ---- claim ----------------------------------------------------------------------------------------------------------


def claim_backlog(connection: Connection, client_id: str, token: UUID, claimant: Claimant, lease_seconds: int) -> bool:
    """Claim the app's backlog. A claim whose lease expired, or whose database session ended, is taken over."""
    taken = execute(
        connection,
        """INSERT INTO apps AS a (client_id, enrich_claim, enrich_pid, enrich_started, enrich_until)
        VALUES (:id, :token, :pid, :started, now() + make_interval(secs => :lease))
        ON CONFLICT (client_id) DO UPDATE SET enrich_claim = excluded.enrich_claim,
            enrich_pid = excluded.enrich_pid, enrich_started = excluded.enrich_started,
            enrich_until = excluded.enrich_until
        WHERE a.enrich_until IS NULL OR a.enrich_until <= now() OR a.enrich_claim IS NOT NULL
            AND a.enrich_pid IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_stat_activity p
                WHERE p.pid = a.enrich_pid AND p.backend_start = a.enrich_started)
        RETURNING 1""",
        {"id": client_id, "token": token, "pid": claimant.pid, "started": claimant.started, "lease": lease_seconds},
    )
    return taken.one_or_none() is not None


def record_refresh(connection: Connection, client_id: str) -> None:
    """Start the interval until the next refresh of stale rows."""
    execute(connection, "UPDATE apps SET refreshed_at = now() WHERE client_id = :id", {"id": client_id})


def renew_backlog_claim(connection: Connection, client_id: str, token: UUID, lease_seconds: int) -> bool:
    """Extend the lease; in a batch's commit this is the fencing check. False: another worker holds the claim."""
    updated = execute(
        connection,
        """UPDATE apps SET enrich_until = now() + make_interval(secs => :lease)
        WHERE client_id = :id AND enrich_claim = :token""",
        {"id": client_id, "token": token, "lease": lease_seconds},
    )
    return updated.rowcount == 1


def release_backlog(connection: Connection, client_id: str, token: UUID, pause: float) -> None:
    """Release the claim; the next one is possible after `pause` seconds."""
    execute(
        connection,
        """UPDATE apps SET enrich_claim = NULL, enrich_until = now() + make_interval(secs => :pause)
        WHERE client_id = :id AND enrich_claim = :token""",
        {"id": client_id, "token": token, "pause": pause},
    )
