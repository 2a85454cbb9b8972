"""Times of a status document: parsed, relative to its `as_of`, and formatted in its time zone."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from spotisync.core.durations import SHOW_SECONDS_BELOW


def parse(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None


def now(document: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(document["as_of"])


def seconds_until(document: dict[str, Any], moment: datetime) -> float:
    return (moment - now(document)).total_seconds()


def format_time(document: dict[str, Any], moment: datetime) -> str:
    """`13:02`; `09:50:25` within ten minutes; `24 Nov 09:00` on another day."""
    zone = ZoneInfo(document["time_zone"])
    local, today = moment.astimezone(zone), now(document).astimezone(zone)
    if local.date() != today.date():
        return f"{format_day(local, today)} {local:%H:%M}"
    return f"{local:%H:%M:%S}" if abs(seconds_until(document, moment)) < SHOW_SECONDS_BELOW else f"{local:%H:%M}"


def format_day(local: datetime, today: datetime) -> str:
    """`24 Nov`, with its year if that is not this one."""
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local.day} {local:%b}{year}"
