"""Calls of the last 24 hours and the last 30 seconds, by the call ledger."""

from datetime import datetime
from typing import Any, Final

from spotisync.core.apps import App
from spotisync.core.budget import FamilyBudget
from spotisync.core.pace import LearnedRate
from spotisync.settings import Settings
from spotisync.status import times
from spotisync.status.messages import REQUESTS
from spotisync.store import budgets, paces
from spotisync.store.database import Connection, execute

Document = dict[str, Any]
FAMILIES: Final = ("library", "playlists", "artists", "albums", "player")
# Spotify counts requests in a rolling window of this many seconds.
WINDOW: Final = 30


def calls_document(connection: Connection, settings: Settings, app: App | None, common: Document) -> Document:
    """Requests of the app's developer, as the ledger counts them: per minute, written when their batch ends.

    `window` is therefore an estimate: of the previous minute it takes a proportional share. `budget` is the ceiling of
    the family, `source` how it is known; both are null while none is.
    """
    if app is None:
        return {"window": _window(settings.api_rate), "day": {}, "saved": None}
    rows = execute(connection, _USAGE, {"developer": app.developer}).all()
    spent = budgets.read_budgets(connection, budgets.find_developer(settings, app))
    recent = sum(estimate_in_window(row.elapsed, int(row.now), int(row.before)) for row in rows)
    return {
        "window": {**_window(settings.api_rate, paces.find(connection, app.developer)), "used": round(recent)},
        "day": {family: _family_usage(common, spent[family]) for family in FAMILIES},
        "saved": None,
    }


def _window(rate: int | str, learned: LearnedRate | None = None) -> Document:
    """`ceiling` is null where there is none. `learned`: Spotify's 429s change it."""
    is_learned = rate == "auto"
    ceiling = (int(learned.rate) if learned else None) if is_learned else rate or None
    return {"seconds": WINDOW, "used": None, "ceiling": ceiling, "learned": is_learned}


_USAGE = """SELECT COALESCE(sum(calls) FILTER (WHERE minute = m.this), 0) AS now,
        COALESCE(sum(calls) FILTER (WHERE minute = m.last), 0) AS before,
        CAST(EXTRACT(epoch FROM now() - m.this) AS float) AS elapsed
    FROM call_ledger, (SELECT date_trunc('minute', now()) AS this,
        date_trunc('minute', now() - interval '1 minute') AS last) m
    WHERE client_id = :developer AND minute IN (m.this, m.last) GROUP BY m.this"""


def estimate_in_window(elapsed: float, now: int, before: int) -> float:
    """Estimate the requests of the last 30 s, `elapsed` seconds into the current minute.

    `now` and `before` are the requests of the current and the previous minute.
    """
    if elapsed >= WINDOW:
        return now * WINDOW / elapsed
    return now + before * (WINDOW - elapsed) / 60


def _family_usage(common: Document, spent: FamilyBudget) -> Document:
    family, used, ceiling = spent.family, spent.spent, spent.ceiling
    covering = [each["blocked_until"] for each in common["blocked"] or [] if each["family"] in {family, "*"}]
    blocked_until = max(covering, default=None, key=datetime.fromisoformat)
    about = "" if ceiling and ceiling.source == "set" else "about "
    amount = f"{used:,}" if ceiling is None else f"{used:,} of {about}{ceiling.calls:,}"
    until = times.format_time(common, datetime.fromisoformat(blocked_until)) if blocked_until else None
    return {
        "used": used,
        "budget": ceiling.calls if ceiling else None,
        "source": ceiling.source if ceiling else None,
        "blocked_until": blocked_until,
        "words": f"{REQUESTS[family]}: {amount} in 24 h{f'; blocked until {until}' if until else ''}",
    }
