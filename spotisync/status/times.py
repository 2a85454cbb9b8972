"""Moments and spans, as a person says them. A moment is said in the time zone of the document, by its clock."""

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

# Until when seconds matter.
SOON: Final = 600.0


def at(iso: str | None) -> datetime | None:
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


def span(seconds: float) -> str:
    """`25 s`, `3 min 20 s`, `12 min`, `3 h 12 min`, `2 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < SOON:
        return _both(*divmod(whole, 60), "min", "s")
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _both(*divmod(minutes, 60), "h", "min")
    return _both(*divmod(round(minutes / 60), 24), "d", "h")


def _both(large: int, small: int, unit: str, smaller: str) -> str:
    return f"{large} {unit} {small} {smaller}" if small else f"{large} {unit}"
