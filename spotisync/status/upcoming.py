"""Scheduled work of an account and pending look-ups: when they are due, in words."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from spotisync.core import schedule
from spotisync.core.apps import App, AppOwner, find_default_app
from spotisync.core.durations import format_duration
from spotisync.settings import Settings
from spotisync.store import budgets, schedules
from spotisync.store.apps import forecast_lookups

Document = dict[str, Any]
# Seconds after which due work counts as overdue: beat or the workers seem to be stopped.
LATE: Final = 90
PAUSED: Final = {
    "disabled": "paused until the account is enabled (spotisync accounts enable {account})",
    "needs_login": "paused until the account logs in again (spotisync login)",
}


def list_upcoming(
    connection: Connection, settings: Settings, account_ids: Sequence[int], now: datetime
) -> dict[str, list[Document]]:
    """The next time of each kind of work and the pending look-ups, by account."""
    rules = schedule.schedule_rules(settings)
    rows = schedules.list_entries_of(connection, account_ids)
    default = find_default_app(settings)
    known = {(row["account"], row["kind"]): row for row in rows}
    by_account = {row["account"]: row for row in rows}
    apps = {name: _find_app(default, row) for name, row in by_account.items()}
    lookups = {app: lookup_forecast(connection, settings, app, now) for app in set(apps.values())}
    return {
        name: [
            *(
                _entry(schedule.schedule_document(row, kind, rules.get(kind), known.get((name, kind))), settings.zone)
                for kind in schedule.VARIABLES
            ),
            *lookups[apps[name]],
        ]
        for name, row in by_account.items()
    }


def _find_app(default: App | None, row: Document) -> App | None:
    owner = AppOwner(own_client_id=row["own_client_id"], own_developer=row["own_developer"])
    return owner.find_app(default)


def _entry(row: Document, zone: str) -> Document:
    return {
        "kind": row["kind"],
        "on": row["on"],
        "at": row["due_at"] if row["account_status"] == "active" else None,
        "words": describe_entry(row, zone),
        "note": row["note"] if row["on"] else None,
    }


def describe_entry(row: Document, zone: str) -> str:
    """When it is due, and how often it runs."""
    if not row["on"]:
        return f"off; to turn it on, set {row['variable']}"
    return f"{_due(row, zone)}; {_frequency(row)}"


def _due(row: Document, zone: str) -> str:
    if row["account_status"] in PAUSED:
        return PAUSED[row["account_status"]].format(account=row["account"])
    if row["due_at"] is None:
        return "not planned yet: beat and a worker plan it when they run"
    due, now = (datetime.fromisoformat(row[name]) for name in ("due_at", "as_of"))
    seconds, clock = (due - now).total_seconds(), schedule.format_clock(due, now, zone)
    if seconds < -LATE:
        return f"due since {clock}: are beat and a worker running?"
    return f"{f'in {format_duration(seconds)}' if seconds > 0 else 'now'} ({clock})"


def _frequency(row: Document) -> str:
    if row["cron"]:
        return f"cron {row['cron']}, {row['time_zone']}"
    return f"every {format_duration(row['stretched_to_seconds'] or row['every_seconds'])}"


# ---- pending look-ups -----------------------------------------------------------------------------------------------


def lookup_forecast(connection: Connection, settings: Settings, app: App | None, now: datetime) -> list[Document]:
    """Pending look-ups of all accounts together, as if this app made them; empty while no app is known.

    They run while no sync runs and calls are left; `at` is when the last one is expected, if a budget is known.
    """
    if app is None:
        return []
    on = settings.enrichment != "off"
    allowances = budgets.list_lookup_allowances(connection, budgets.find_developer(settings, app))
    families = forecast_lookups(connection, app, settings.enrichment, settings.enrichment_budget, allowances)
    left = [f"{one.pending:,} {one.family}" for one in families if one.pending]
    ends = [one.done_at for one in families if one.done_at and one.budget]
    entry: Document = {"kind": "enrich", "on": on, "at": None, "note": None}
    if not on:
        return [{**entry, "words": "off; to turn it on, set SPOTISYNC_ENRICHMENT"}]
    if not left:
        return [{**entry, "words": "none"}]
    pending = " and ".join(left)
    if not ends:
        return [{**entry, "words": f"{pending}; run when no sync is running and Spotify allows it"}]
    done = max(ends)
    clock = schedule.format_clock(done, now, settings.zone)
    return [{**entry, "at": done.isoformat(), "words": f"{pending}; done by about {clock}, within the daily budget"}]
