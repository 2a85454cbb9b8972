"""Moments and spans, as a person says them. A moment is said in the time zone of the document, by its clock."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from spotisync.core.durations import SOON


def parse(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None


def now(document: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(document["as_of"])


def seconds_until(document: dict[str, Any], moment: datetime) -> float:
    return (moment - now(document)).total_seconds()


def clock(document: dict[str, Any], moment: datetime) -> str:
    """The time of day, with seconds when that is soon; with the day when it is not today."""
    zone = ZoneInfo(document["time_zone"])
    local, today = moment.astimezone(zone), now(document).astimezone(zone)
    if local.date() != today.date():
        return f"{day(local, today)} {local:%H:%M}"
    return f"{local:%H:%M:%S}" if abs(seconds_until(document, moment)) < SOON else f"{local:%H:%M}"


def day(local: datetime, today: datetime) -> str:
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local.day} {local:%b}{year}"
