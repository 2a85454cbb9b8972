"""Budgets of developer accounts: what was spent in 24 hours, and what Spotify's refusals have taught."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, get_args

from spotisync.core import budget
from spotisync.core.apps import App, find_default_app
from spotisync.core.budget import FamilyBudget
from spotisync.core.requests import Family
from spotisync.settings import Settings
from spotisync.store.accounts import DEVELOPER
from spotisync.store.call_ledger import DAY, count_last_day
from spotisync.store.database import Connection, execute

FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True)
class Developer:
    """A developer account. `default`: the one of SPOTIPY_CLIENT_ID. `known`: budgets that the operator has set."""

    name: str
    default: str
    known: Mapping[str, int]


def read_budgets(connection: Connection, developer: Developer) -> dict[str, FamilyBudget]:
    """The budget of each family."""
    found = execute(connection, _BUDGETS, {"wanted": developer.name, "developer": developer.default}).all()
    rows = {row.family: row for row in found}
    return {family: _budget(family, rows.get(family), developer) for family in FAMILIES}


def find_developer(settings: Settings, app: App) -> Developer:
    """The operator's budgets are those of the default app's developer account."""
    default = find_default_app(settings)
    is_default = default is not None and app.developer == default.developer
    return Developer(app.developer, default.developer if default else "", settings.budgets if is_default else {})


def list_lookup_allowances(connection: Connection, developer: Developer) -> dict[str, int]:
    """The calls that look-ups may spend in 24 hours, of the families with a ceiling that is enforced."""
    return {
        family: found.ceiling.get_allowance("look-ups")
        for family, found in read_budgets(connection, developer).items()
        if found.ceiling and found.ceiling.source != "assumed"
    }


def _budget(family: str, row: object, developer: Developer) -> FamilyBudget:
    spent, estimate, age, accounts = (getattr(row, name, None) for name in ("spent", "estimate", "age", "accounts"))
    learned = budget.grow_estimate(estimate, age) if estimate is not None and age is not None else None
    ceiling = budget.find_ceiling(developer.known.get(family), learned, spent or 0, accounts or 0)
    return FamilyBudget(family, spent or 0, ceiling)


_BUDGETS = f"""SELECT f.family, GREATEST(0, CAST(COALESCE(l.spent, 0) AS bigint)) AS spent, b.estimate,
        now() - b.refused_at AS age,
        (SELECT count(*) FROM accounts a WHERE {DEVELOPER} = :wanted AND a.status = 'active') AS accounts
    FROM unnest(CAST('{{{",".join(FAMILIES)}}}' AS text[])) AS f(family)
        LEFT JOIN (SELECT family, sum(calls) AS spent FROM call_ledger
            WHERE client_id = :wanted AND minute > now() - {DAY} GROUP BY family) l ON l.family = f.family
        LEFT JOIN budgets b ON b.developer = :wanted AND b.family = f.family"""


def read_limit(connection: Connection, developer: Developer, family: str) -> FamilyBudget | None:
    """The budget of one family, or None if no ceiling is known: calls need not be counted then."""
    row = _get_estimate(connection, developer.name, family)
    learned = budget.grow_estimate(row.estimate, row.age) if row else None
    if learned is None and family not in developer.known:
        return None
    spent = count_last_day(connection, developer.name, family)
    return FamilyBudget(family, spent, budget.find_ceiling(developer.known.get(family), learned, spent, 0))


def _get_estimate(connection: Connection, developer: str, family: str, *, lock: bool = False) -> Any:
    return execute(
        connection,
        f"""SELECT estimate, now() - refused_at AS age FROM budgets
        WHERE developer = :developer AND family = :family {"FOR UPDATE" if lock else ""}""",
        {"developer": developer, "family": family},
    ).one_or_none()


def find_free_time(
    connection: Connection, developer: str, family: str, excess: int, shortest: timedelta = timedelta()
) -> tuple[datetime, float]:
    """When `excess` calls of the family will be older than a day, and in how many seconds: at least `shortest`."""
    rows = execute(
        connection,
        f"""SELECT minute, sum(calls) FROM call_ledger WHERE client_id = :developer AND family = :family
            AND minute > now() - {DAY} GROUP BY minute ORDER BY minute""",
        {"developer": developer, "family": family},
    )
    free = budget.find_free_time(((minute, int(calls)) for minute, calls in rows), excess)
    now: datetime = execute(connection, "SELECT now()").scalar_one()
    until = max(free or now + budget.DAY, now + shortest)
    return until, (until - now).total_seconds()


def record_refusal(connection: Connection, developer: str, family: str) -> None:
    """Learn from a 429 for the quota: the family's ceiling is what was spent in the 24 hours before."""
    row = _get_estimate(connection, developer, family, lock=True)
    current = budget.grow_estimate(row.estimate, row.age) if row else None
    estimate = budget.lower_estimate(count_last_day(connection, developer, family), current)
    execute(
        connection,
        """INSERT INTO budgets AS b (developer, family, estimate, refused_at)
        VALUES (:developer, :family, :estimate, now())
        ON CONFLICT (developer, family) DO UPDATE SET refused_at = excluded.refused_at,
            estimate = LEAST(b.estimate, excluded.estimate)""",
        {"developer": developer, "family": family, "estimate": estimate},
    )
