"""The budgets of developer accounts: calls spent and expected by family and hour, ceilings, and sentences on them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from spotisync.core import budget, schedule
from spotisync.core.apps import App, find_default_app
from spotisync.core.budget import SHARES, Ceiling, FamilyBudget, Purpose
from spotisync.core.call_forecast import (
    HOUR,
    HOURS,
    USUAL_INCREMENTAL,
    ScheduledWork,
    fit_calls,
    forecast_calls,
)
from spotisync.core.regimes import lookup_mode
from spotisync.core.rhythm import Rhythm
from spotisync.settings import Settings
from spotisync.status import upcoming
from spotisync.status.call_costs import list_costs
from spotisync.status.messages import WaitState, count_of, describe_block_reason
from spotisync.status.times import format_day
from spotisync.store import accounts, apps
from spotisync.store.accounts import DEVELOPER
from spotisync.store.budgets import FAMILIES
from spotisync.store.call_ledger import DAY
from spotisync.store.database import Connection, execute

Document = dict[str, Any]
# In the order in which they are shown.
LABELS: Final[Mapping[str, str]] = {
    "library": "Library",
    "playlists": "Playlists",
    "player": "Plays",
    "artists": "Artist look-ups",
    "albums": "Album look-ups",
}
# The scheduled work that spends most of each family, and its name.
SCHEDULED: Final[Mapping[str, tuple[Purpose, str]]] = {
    "library": ("incremental", "scheduled syncs"),
    "playlists": ("incremental", "scheduled syncs"),
    "artists": ("look-ups", "look-ups"),
    "albums": ("look-ups", "look-ups"),
    "player": ("playback", "scheduled reads"),
}


# Developer accounts of one document.
MOST_DEVELOPERS: Final = 20
# Accounts from which the calls of all accounts are forecast: with more, the forecast is the same within a few percent.
SAMPLE: Final = 200


def read_document(connection: Connection, settings: Settings, account: str | None = None) -> Document:
    """Budgets of the developer account of this account's app; without one, of the developer accounts in use.

    `more_developers`: how many are left out. Neither the number of queries nor the work grows with the number of
    accounts. Raises `Unknown` if there is no such account.
    """
    default = find_default_app(settings)
    owner = accounts.find_account(connection, account) if account else None
    app = owner.find_app(default) if owner else default
    names = _find_names(connection, app, default) if owner is None else [app.developer] if app else []
    now = execute(connection, "SELECT now()").scalar_one()
    shown = names[:MOST_DEVELOPERS]
    usage = _read_usage(connection, settings, shown, default.developer if default else None, now)
    lookups = upcoming.lookup_forecast(connection, settings, app, now)
    return {
        "as_of": now.isoformat(),
        "time_zone": settings.zone,
        "developers": [_developer(each, now, settings.zone) for each in usage],
        "more_developers": len(names) - len(shown),
        "lookups": lookups,
    }


def _find_names(connection: Connection, app: App | None, default: App | None) -> list[str]:
    """The default one first, then those with a cooldown."""
    first, *others = accounts.list_developers(connection, app.developer if app else "")
    blocked = set(execute(connection, "SELECT client_id FROM rate_limits WHERE blocked_until > now()").scalars())
    return [*([first] if default else []), *sorted(others, key=lambda each: each not in blocked)]


# ---- the tables -----------------------------------------------------------------------------------------------------


@dataclass
class DeveloperUsage:
    """Rows of one developer account. `hours`: calls by family, the oldest hour first.

    `single_lookups`: SPOTISYNC_ENRICHMENT_BUDGET, for the developer of an app whose look-ups take one id per call.
    """

    name: str
    is_default: bool
    known: Mapping[str, int]
    single_lookups: int | None = None
    accounts: int = 0
    hours: dict[str, list[int]] = field(default_factory=lambda: {family: [0] * HOURS for family in FAMILIES})
    learned: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    blocked: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    work: list[ScheduledWork] = field(default_factory=list)
    free_at: dict[str, datetime] = field(default_factory=dict)

    def get_budget(self, family: str, now: datetime) -> FamilyBudget:
        spent = max(0, sum(self.hours[family]))
        learned = None
        if family in self.learned:
            estimate, refused_at = self.learned[family]
            learned = budget.grow_estimate(estimate, now - refused_at)
        return FamilyBudget(family, spent, budget.find_ceiling(self.known.get(family), learned, spent, self.accounts))

    def find_allowance(self, family: str, ceiling: Ceiling | None) -> int | None:
        """What the scheduled work of a family may spend."""
        purpose = SCHEDULED[family][0]
        own = self.single_lookups if purpose == "look-ups" else None
        share = ceiling.get_allowance(purpose) if ceiling else None
        return min((each for each in (own, share) if each is not None), default=None)

    def find_block(self, family: str) -> tuple[datetime, str, str] | None:
        """The end of its cooldown, the reason, and the blocked family: this one or all."""
        return max(((*self.blocked[name], name) for name in (family, "*") if name in self.blocked), default=None)


def _read_usage(
    connection: Connection, settings: Settings, names: list[str], default: str | None, now: datetime
) -> list[DeveloperUsage]:
    found = {name: DeveloperUsage(name, name == default, settings.budgets if name == default else {}) for name in names}
    bound = {"names": names, "developer": default}
    for row in execute(connection, _HOURS, bound):
        found[row.developer].hours[row.family][HOURS - 1 - row.hour] += int(row.calls)
    for row in execute(connection, _STATE, bound):
        developer = found[row.developer]
        match row.kind:
            case "accounts":
                developer.accounts = int(row.number)
            case "learned":
                developer.learned[row.family] = (int(row.number), row.at)
            case _:
                developer.blocked[row.family] = (row.at, row.kind)
    if default in found and _looks_up_singly(connection, settings):
        found[default].single_lookups = settings.enrichment_budget
    _read_work(connection, settings, found, bound)
    _find_free_times(connection, found, now)
    return list(found.values())


def _looks_up_singly(connection: Connection, settings: Settings) -> bool:
    regime = apps.get_regime(connection, settings.require_client_id())
    return lookup_mode(settings.enrichment, regime) == "singly"


_HOURS = f"""SELECT client_id AS developer, family, sum(calls) AS calls,
        CAST(LEAST({HOURS - 1}, GREATEST(0, floor(EXTRACT(epoch FROM now() - minute) / 3600))) AS int) AS hour
    FROM call_ledger WHERE client_id = ANY(:names) AND minute > now() - {DAY} GROUP BY 1, 2, 4"""
_STATE = f"""SELECT {DEVELOPER} AS developer, 'accounts' AS kind, NULL AS family, count(*) AS number,
        CAST(NULL AS timestamptz) AS at
    FROM accounts a WHERE status = 'active' AND {DEVELOPER} = ANY(:names) GROUP BY 1
    UNION ALL SELECT developer, 'learned', family, estimate, refused_at FROM budgets
        WHERE developer = ANY(:names) AND family <> '*'
    UNION ALL SELECT client_id, reason, family, 0, blocked_until FROM rate_limits
        WHERE client_id = ANY(:names) AND blocked_until > now()"""


def _read_work(
    connection: Connection, settings: Settings, found: Mapping[str, DeveloperUsage], bound: dict[str, Any]
) -> None:
    rules = schedule.schedule_rules(settings)
    rows = execute(connection, _SCHEDULES, {**bound, "most": SAMPLE // max(1, len(found))}).all()
    costs = list_costs(connection, {row.account_id for row in rows})
    for row in rows:
        if row.kind not in rules:
            continue
        usual = {"playback": {"player": 1.0}, "incremental": USUAL_INCREMENTAL}.get(row.kind, {})
        calls = costs.get((row.account_id, row.kind), usual)
        known = (
            Rhythm(row.busy_hours, row.seconds_per_play, row.active_at, row.known_since) if row.known_since else None
        )
        work = ScheduledWork(row.kind, row.account_id, rules[row.kind], row.due_at, known, calls, row.weight)
        found[row.developer].work.append(work)


# Of many accounts a sample, always the same one, each of which counts for several.
_SCHEDULES = f"""WITH ranked AS (SELECT a.id, {DEVELOPER} AS developer,
        row_number() OVER (PARTITION BY {DEVELOPER} ORDER BY hashint8(a.id)) AS rank,
        count(*) OVER (PARTITION BY {DEVELOPER}) AS accounts
    FROM accounts a WHERE a.status = 'active' AND {DEVELOPER} = ANY(:names))
    SELECT a.developer, CAST(a.accounts AS float) / LEAST(a.accounts, :most) AS weight, s.account_id, s.kind, s.due_at,
        r.busy_hours, r.seconds_per_play, r.active_at, r.known_since
    FROM ranked a JOIN schedules s ON s.account_id = a.id LEFT JOIN rhythms r ON r.account_id = s.account_id
    WHERE a.rank <= :most"""


def _find_free_times(connection: Connection, found: Mapping[str, DeveloperUsage], now: datetime) -> None:
    """When scheduled work may spend again, of the families in which it may not."""
    spent = {
        (developer.name, family): excess
        for developer in found.values()
        for family in FAMILIES
        if (excess := developer.get_budget(family, now).find_excess(SCHEDULED[family][0], 1))
    }
    if not spent:
        return
    developers, families = zip(*spent, strict=True)
    minutes = defaultdict[tuple[str, str], list[tuple[datetime, int]]](list)
    for row in execute(connection, _MINUTES, {"developers": list(developers), "families": list(families)}):
        minutes[row.developer, row.family].append((row.minute, int(row.calls)))
    for (name, family), excess in spent.items():
        if free := budget.find_free_time(minutes[name, family], excess):
            found[name].free_at[family] = free


_MINUTES = f"""SELECT l.client_id AS developer, l.family, l.minute, sum(l.calls) AS calls
    FROM call_ledger l JOIN unnest(CAST(:developers AS text[]), CAST(:families AS text[])) w(developer, family)
        ON l.client_id = w.developer AND l.family = w.family
    WHERE l.minute > now() - {DAY} GROUP BY 1, 2, 3 ORDER BY 3"""


# ---- the document ---------------------------------------------------------------------------------------------------


def _developer(usage: DeveloperUsage, now: datetime, zone: str) -> Document:
    blocked: dict[str, datetime] = {family: block[0] for family in FAMILIES if (block := usage.find_block(family))}
    coming = forecast_calls(usage.work, now, blocked)
    return {
        "developer": usage.name,
        "is_default": usage.is_default,
        "accounts": usage.accounts,
        "families": [_family(usage, family, coming.get(family, [0] * HOURS), now, zone) for family in LABELS],
    }


def _family(usage: DeveloperUsage, family: str, wanted: Sequence[int], now: datetime, zone: str) -> Document:
    spent, block, past = usage.get_budget(family, now), usage.find_block(family), usage.hours[family]
    ceiling = spent.ceiling
    allowance = usage.find_allowance(family, ceiling)
    is_enforced = ceiling is not None and ceiling.source != "assumed"
    coming, short = fit_calls(allowance, past, wanted) if is_enforced and allowance else (list(wanted), None)
    found: Document = {
        "family": family,
        "label": LABELS[family],
        "spent": spent.spent,
        "ceiling": ceiling.calls if ceiling else None,
        "source": ceiling.source if ceiling else None,
        "learned_at": usage.learned[family][1].isoformat() if ceiling and ceiling.source == "learned" else None,
        "allowance": allowance,
        "single_lookups": usage.single_lookups if SCHEDULED[family][0] == "look-ups" else None,
        "allowances": {each: ceiling.get_allowance(each) for each in SHARES} if ceiling else {},
        "reserved": ceiling.calls - allowance if ceiling and allowance is not None else None,
        "blocked_until": block[0].isoformat() if block else None,
        "blocked_reason": block[1] if block else None,
        "blocked_family": block[2] if block else None,
        "free_at": _iso(usage.free_at.get(family)),
        "past": [max(0, calls) for calls in past],
        "coming": coming,
        "expected": sum(coming),
        "short_at": None if short is None else (now + short * HOUR).isoformat(),
    }
    return {**found, "words": describe_family(found, now, zone)}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


# ---- sentences ------------------------------------------------------------------------------------------------------


def describe_family(found: Document, now: datetime, zone: str) -> str:
    """As in: Library: 312 of about 600 calls spent in 24 h; scheduled syncs may use 540; none expected by …."""
    return f"{found['label']}: {'; '.join(_parts(found, now, zone))}."


def _parts(found: Document, now: datetime, zone: str) -> Iterable[str]:
    def clock(iso: str) -> str:
        return schedule.format_clock(datetime.fromisoformat(iso), now, zone)

    yield _spent(found, now, zone)
    scheduled = SCHEDULED[found["family"]][1]
    if allowed := _describe_allowance(found, scheduled):
        yield allowed
    if found["blocked_until"]:
        reason = describe_block_reason(WaitState(now, found["family"], found["blocked_reason"]))
        yield f"blocked until {clock(found['blocked_until'])}: {reason}"
    elif found["free_at"]:
        yield f"{scheduled} continue at {clock(found['free_at'])}, when older calls leave the 24 h"
    expected = f"about {found['expected']:,}" if found["expected"] else "none"
    yield f"{expected} expected by {_tomorrow(now, zone)}"
    if found["short_at"] and not found["free_at"]:
        yield f"from about {clock(found['short_at'])} on, some have to wait"


def _describe_allowance(found: Document, scheduled: str) -> str | None:
    if found["source"] == "assumed" and not found["single_lookups"]:
        slow = f"{scheduled} become less frequent beyond {int(found['ceiling'] * budget.PLENTY):,}"
        return slow if scheduled != "look-ups" else "an assumed ceiling stops nothing"
    if found["allowance"] is None:
        return None
    calls = f"{found['allowance']:,}" if found["reserved"] != 0 else "all"
    return f"{scheduled} may use {calls}"


def _spent(found: Document, now: datetime, zone: str) -> str:
    if found["ceiling"] is None:
        return f"{count_of(found['spent'], 'call')} spent in 24 h, no ceiling is known"
    about = {"set": "", "learned": "about ", "assumed": "an assumed "}[found["source"]]
    learned = ""
    if found["learned_at"]:
        at, today = (each.astimezone(ZoneInfo(zone)) for each in (datetime.fromisoformat(found["learned_at"]), now))
        learned = f" (learned on {format_day(at, today)})"
    return f"{found['spent']:,} of {about}{found['ceiling']:,} calls spent in 24 h{learned}"


def _tomorrow(now: datetime, zone: str) -> str:
    return f"tomorrow {(now + timedelta(days=1)).astimezone(ZoneInfo(zone)):%H:%M}"
