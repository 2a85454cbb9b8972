"""The Spotify app: which regime it has, what is left to be looked up by it, who is looking it up."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from spotisync.core.phases import Entity
from spotisync.core.regimes import Enrichment, LookupMode, Regime, days_until_done, lookup_mode
from spotisync.store import call_ledger, catalogue, playlists
from spotisync.store.database import Claimant

ENTITIES: tuple[Entity, ...] = ("artists", "albums")


def get_regime(connection: Connection, client_id: str) -> Regime | None:
    found = connection.execute(text("SELECT regime FROM apps WHERE client_id = :id"), {"id": client_id})
    known: Regime | None = found.scalar_one_or_none()
    return known


def record_regime(connection: Connection, client_id: str, told: Regime) -> bool:
    """Remember what calls tell. Returns whether it is news; what may bring more now is due again then."""
    if get_regime(connection, client_id) == told:
        return False
    connection.execute(
        text(
            """INSERT INTO apps (client_id, regime, regime_since) VALUES (:id, :told, now())
            ON CONFLICT (client_id) DO UPDATE SET regime = excluded.regime, regime_since = now()"""
        ),
        {"id": client_id, "told": told},
    )
    if told == "full":
        for entity in ENTITIES:
            catalogue.reopen_partial(connection, entity)
        playlists.mark_restricted_reads_stale(connection)
    return True


def lookup_budget_left(connection: Connection, client_id: str, family: Entity, budget: int) -> int:
    """How many look-ups of the budget may be made now. One transaction at a time: together they take what there is."""
    connection.execute(text("SELECT 1 FROM apps WHERE client_id = :id FOR NO KEY UPDATE"), {"id": client_id})
    return max(0, budget - call_ledger.count_last_day(connection, client_id, family))


# ---- the backlog ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backlog:
    """Whether calls are free (no run is going), and of which kinds there is something to look up."""

    regime: Regime | None
    idle: bool
    stubs: frozenset[Entity]
    # Told by pages alone, and looked up in the restricted regime already.
    partial: frozenset[Entity]
    poor: frozenset[Entity]
    # Looked up long ago; empty while calls are not plentiful.
    stale: frozenset[Entity] = frozenset()

    def entities_due(self, by: LookupMode) -> list[Entity]:
        open_ = {"together": self.stubs | self.partial | self.poor, "singly": self.stubs | self.partial}
        return [entity for entity in ENTITIES if entity in open_.get(by, self.stubs)]


def get_backlog(connection: Connection, client_id: str, refresh_days: int = 0) -> Backlog:
    """One query, and a quick one: nearly always there is nothing to do."""
    row = connection.execute(text(_BACKLOG), {"id": client_id, "days": refresh_days}).one()._mapping  # noqa: SLF001

    def having(what: str) -> frozenset[Entity]:
        return frozenset(entity for entity in ENTITIES if row[f"{entity}_{what}"])

    return Backlog(row["regime"], row["idle"], having("stubs"), having("partial"), having("poor"), having("stale"))


def _exists(entity: Entity) -> str:
    free = f"SELECT 1 FROM {entity} WHERE enrichment"
    return f"""EXISTS ({free} = 'stub' AND lookup_attempts < {catalogue.MOST_ATTEMPTS}) AS {entity}_stubs,
        EXISTS ({free} = 'partial' AND enriched_at IS NULL) AS {entity}_partial,
        EXISTS ({free} = 'partial' AND enriched_at IS NOT NULL) AS {entity}_poor,
        :days > 0 AND {_PLENTIFUL} AND EXISTS (SELECT 1 FROM {entity} WHERE {catalogue.STALE}) AS {entity}_stale"""


# Nobody waits for what is refreshed: not twice within half an hour, nor within a day of a quota, nor beside a run that
# waits for its turn, or for calls.
_PLENTIFUL = """NOT EXISTS (SELECT 1 FROM sync_history WHERE status IN ('pending', 'in_progress', 'rate_limited'))
    AND NOT EXISTS (SELECT 1 FROM apps WHERE client_id = :id AND refreshed_at > now() - interval '30 minutes')
    AND NOT EXISTS (SELECT 1 FROM rate_limits WHERE client_id = :id AND reason = 'quota'
        AND blocked_until > now() - interval '24 hours')"""


_BACKLOG = f"""SELECT (SELECT regime FROM apps WHERE client_id = :id) AS regime,
    NOT EXISTS (SELECT 1 FROM sync_history WHERE status = 'in_progress') AS idle,
    {", ".join(_exists(entity) for entity in ENTITIES)}"""


@dataclass(frozen=True)
class BacklogForecast:
    """Look-ups of one family: how many are left, how many calls of its budget were made in 24 hours, when it is done.

    `budget` is None where there is none: the full regime takes many ids a call. `done_at` is None where nothing is
    left, or nothing will be looked up.
    """

    family: Entity
    way: LookupMode
    left: int
    budget: int | None
    used: int
    done_at: datetime | None


def forecast(connection: Connection, client_id: str, enrichment: Enrichment, budget: int) -> list[BacklogForecast]:
    by = lookup_mode(enrichment, get_regime(connection, client_id))
    return [_forecast(connection, client_id, entity, by, budget) for entity in ENTITIES]


def _forecast(connection: Connection, client_id: str, entity: Entity, by: LookupMode, budget: int) -> BacklogForecast:
    left = connection.execute(text(_counted(entity, by))).scalar_one()
    used = call_ledger.count_last_day(connection, client_id, entity)
    days = days_until_done(left, budget, used) if by == "singly" else 0
    done_at = connection.execute(text(_DONE), {"id": client_id, "family": entity, "days": days}).scalar_one()
    return BacklogForecast(
        family=entity,
        way=by,
        left=left,
        budget=budget if by == "singly" else None,
        used=used,
        done_at=done_at if left and by in {"together", "singly"} else None,
    )


def _counted(entity: Entity, by: LookupMode) -> str:
    """Each kind by the index it has: together they would be looked for in the whole catalogue."""
    counts = (f"(SELECT count(*) FROM {entity} WHERE {condition})" for condition in _LEFT[by])
    return f"SELECT {' + '.join(counts)}"


_LEFT: dict[LookupMode, tuple[str, ...]] = {
    "together": ("enrichment = 'stub'", "enrichment = 'partial'"),
    "singly": ("enrichment = 'stub'", "enrichment = 'partial' AND enriched_at IS NULL"),
    "partial": ("enrichment = 'stub'",),
    "off": ("enrichment = 'stub'",),
}
# Not before a cooldown is over.
_DONE = """SELECT GREATEST(now() + make_interval(days => :days), (SELECT max(blocked_until) FROM rate_limits
    WHERE client_id = :id AND family IN (:family, '*')))"""


# ---- who drains it --------------------------------------------------------------------------------------------------


def claim_backlog(connection: Connection, client_id: str, token: UUID, claimant: Claimant, lease_seconds: int) -> bool:
    """One at a time drains the backlog of an app; whose lease is over, or whose process is gone, does not count."""
    taken = connection.execute(
        text(
            """INSERT INTO apps AS a (client_id, enrich_claim, enrich_pid, enrich_started, enrich_until)
            VALUES (:id, :token, :pid, :started, now() + make_interval(secs => :lease))
            ON CONFLICT (client_id) DO UPDATE SET enrich_claim = excluded.enrich_claim,
                enrich_pid = excluded.enrich_pid, enrich_started = excluded.enrich_started,
                enrich_until = excluded.enrich_until
            WHERE a.enrich_until IS NULL OR a.enrich_until <= now() OR a.enrich_claim IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM pg_stat_activity p
                    WHERE p.pid = a.enrich_pid AND p.backend_start = a.enrich_started)
            RETURNING 1"""
        ),
        {"id": client_id, "token": token, "pid": claimant.pid, "started": claimant.started, "lease": lease_seconds},
    )
    return taken.one_or_none() is not None


def schedule_next_refresh(connection: Connection, client_id: str) -> None:
    """Stale rows are being read again: next time in a while."""
    connection.execute(text("UPDATE apps SET refreshed_at = now() WHERE client_id = :id"), {"id": client_id})


def renew_backlog_claim(connection: Connection, client_id: str, token: UUID, lease_seconds: int) -> bool:
    """A sign of life; in a commit, the fence. False: somebody else drains it by now."""
    return (
        connection.execute(
            text(
                """UPDATE apps SET enrich_until = now() + make_interval(secs => :lease)
                WHERE client_id = :id AND enrich_claim = :token"""
            ),
            {"id": client_id, "token": token, "lease": lease_seconds},
        ).rowcount
        == 1
    )


def release_backlog(connection: Connection, client_id: str, token: UUID, pause: float) -> None:
    """Give the claim back; for `pause` seconds nobody takes it."""
    connection.execute(
        text(
            """UPDATE apps SET enrich_claim = NULL, enrich_until = now() + make_interval(secs => :pause)
            WHERE client_id = :id AND enrich_claim = :token"""
        ),
        {"id": client_id, "token": token, "pause": pause},
    )
