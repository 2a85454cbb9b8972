"""What comes by itself for an account, and when: in words."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from spotisync.core import schedule
from spotisync.core.durations import format_duration
from spotisync.settings import Settings
from spotisync.store import apps, schedules

Document = dict[str, Any]
# Seconds. Later than this, nobody seems to be there to do it.
LATE: Final = 90
RESTS: Final = {
    "disabled": "it rests until: spotisync accounts enable {account}",
    "needs_login": "it rests until the account has logged in again",
}


def read(connection: Connection, settings: Settings, account: str | None, now: datetime) -> dict[str, list[Document]]:
    """By account, of this one or of all: what comes next of each kind, and of the look-ups that were put off."""
    on = schedule.schedule_rules(settings)
    rows = schedules.list_entries(connection, account)
    known = {(row["account"], row["kind"]): row for row in rows}
    by_account = {row["account"]: row for row in rows}
    rest = lookup_forecast(connection, settings, now) if by_account else []
    return {
        name: [
            *(
                _kind(schedule.schedule_document(row, kind, on.get(kind), known.get((name, kind))), settings.zone)
                for kind in schedule.VARIABLES
            ),
            *rest,
        ]
        for name, row in by_account.items()
    }


def _kind(row: Document, zone: str) -> Document:
    comes = row["account_status"] == "active"
    return {
        "kind": row["kind"],
        "on": row["on"],
        "at": row["due_at"] if comes else None,
        "words": describe_entry(row, zone),
        "note": row["note"] if row["on"] else None,
    }


def describe_entry(row: Document, zone: str) -> str:
    """When it comes, and how often."""
    if not row["on"]:
        return f"off; {row['variable']} turns it on"
    return f"{_next(row, zone)}; {_how_often(row)}"


def _next(row: Document, zone: str) -> str:
    if row["account_status"] in RESTS:
        return RESTS[row["account_status"]].format(account=row["account"])
    if row["due_at"] is None:
        return "planned within seconds, once beat and a worker run"
    due, now = (datetime.fromisoformat(row[name]) for name in ("due_at", "as_of"))
    seconds, clock = (due - now).total_seconds(), schedule.format_clock(due, now, zone)
    if seconds < -LATE:
        return f"due since {clock}: do beat and a worker run?"
    return f"{f'in {format_duration(seconds)}' if seconds > 0 else 'now'} ({clock})"


def _how_often(row: Document) -> str:
    if row["cron"]:
        return f"by {row['cron']}, {row['time_zone']}"
    return f"every {format_duration(row['stretched_to_seconds'] or row['every_seconds'])}"


# ---- look-ups that were put off -------------------------------------------------------------------------------------


def lookup_forecast(connection: Connection, settings: Settings, now: datetime) -> list[Document]:
    """For all accounts together; none if it is not known which app does them.

    Whenever calls are free and no run goes; `at` is when the last of it will be done, where a budget says so.
    """
    if settings.client_id is None:
        return []
    on = settings.enrichment != "off"
    each = apps.forecast(connection, settings.client_id, settings.enrichment, settings.enrichment_budget)
    left = [f"{one.left:,} {one.family}" for one in each if one.left]
    ends = [one.done_at for one in each if one.done_at and one.budget]
    entry: Document = {"kind": "enrich", "on": on, "at": None, "note": None}
    if not on:
        return [{**entry, "words": "off; SPOTISYNC_ENRICHMENT turns it on"}]
    if not left:
        return [{**entry, "words": "nothing is left to be looked up"}]
    what = f"{' and '.join(left)} left to be looked up"
    if not ends:
        return [{**entry, "words": f"{what}: when no sync is going and Spotify allows it"}]
    done = max(ends)
    clock = schedule.format_clock(done, now, settings.zone)
    return [{**entry, "at": done.isoformat(), "words": f"{what}: done by about {clock}, within the day's budget"}]
