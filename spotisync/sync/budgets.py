"""Whether scheduled work may spend calls now, by the budget of its developer account."""

from datetime import timedelta

from spotisync.core.budget import FamilyBudget, Purpose
from spotisync.core.requests import Family, Request
from spotisync.errors import Wait
from spotisync.store import budgets
from spotisync.store.budgets import Developer
from spotisync.store.database import Connection
from spotisync.store.runs import Run
from spotisync.sync.apps import SpotifyApp
from spotisync.sync.context import Context

# Calls leave the window one by one; a run that was woken for each would mostly wait.
SHORTEST_WAIT = timedelta(minutes=10)


def get_developer(context: Context, app: SpotifyApp) -> Developer:
    """The operator's budgets are those of the default app's developer account."""
    default = context.default_app.developer
    return Developer(app.developer, default, context.settings.budgets if app.developer == default else {})


def get_purpose(run: Run, *, is_lookup: bool = False) -> Purpose:
    if run.asked:
        return "asked"
    return "look-ups" if is_lookup else "full" if run.sync_type == "full" else "incremental"


def select_affordable(
    context: Context, app: SpotifyApp, purpose: Purpose, requests: tuple[Request, ...]
) -> tuple[Request, ...]:
    """The first requests that this purpose may send now. Raises `Wait` until more may be sent if there are none."""
    if purpose == "asked" or not requests:
        return requests
    family, developer = requests[0].family, get_developer(context, app)
    with context.database.begin() as connection:
        excess = _find_excess(connection, developer, family, purpose, len(requests))
        if excess < len(requests):
            return requests[: len(requests) - excess]
        until, seconds = budgets.find_free_time(connection, app.developer, family, excess, SHORTEST_WAIT)
    raise Wait(family, until, "budget", seconds)


def count_affordable(connection: Connection, developer: Developer, family: Family, purpose: Purpose, most: int) -> int:
    """How many of `most` calls this purpose may send now."""
    return max(0, most - _find_excess(connection, developer, family, purpose, most))


def _find_excess(connection: Connection, developer: Developer, family: Family, purpose: Purpose, calls: int) -> int:
    found: FamilyBudget | None = budgets.read_limit(connection, developer, family)
    return found.find_excess(purpose, calls) if found else 0
