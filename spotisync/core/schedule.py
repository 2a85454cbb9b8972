"""When what comes by itself is due: times by cron or by interval, spread over accounts, stretched when calls are short.

The times of a rule are a fixed set for each account, whoever asks and whenever: two processes, or one that was away,
come to the same next one.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

from spotisync.settings import Settings

Kind = Literal["full", "incremental", "playback"]

# A cron expression says when; accounts follow each other within this many seconds of it.
CRON_SPREAD: Final = 600
# An interval is never stretched to more than a day.
LONGEST: Final = 86_400
# What a quota that was met tells: more than the day's calls went, but not by how much.
AFTER_A_QUOTA: Final = 4


# By the variable that says how often, or that it is off.
VARIABLES: Final[Mapping[Kind, str]] = {
    "full": "SPOTISYNC_FULL_SYNC_SCHEDULE",
    "incremental": "SPOTISYNC_INCREMENTAL_INTERVAL",
    "playback": "SPOTISYNC_PLAYBACK_INTERVAL",
}


@dataclass(frozen=True)
class Cron:
    """Five fields, meant in this time zone. What a clock change skips comes at once after it, what it repeats once."""

    expression: str
    zone: str

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"


@dataclass(frozen=True)
class Every:
    seconds: int

    def __str__(self) -> str:
        return f"every {self.seconds} s"


Rule = Cron | Every


def schedule_rules(settings: Settings) -> dict[Kind, Rule]:
    """The kinds that are on."""
    found: dict[Kind, Rule] = {}
    if settings.full_sync_schedule:
        found["full"] = Cron(settings.full_sync_schedule, settings.zone)
    if settings.incremental_interval:
        found["incremental"] = Every(settings.incremental_interval)
    if settings.playback_interval:
        found["playback"] = Every(settings.playback_interval)
    return found


def position_in_interval(account_id: int) -> float:
    """The account's place in 0..1, by its id alone: 0, 1/2, 1/4, 3/4, 1/8 … so that any number is spread evenly."""
    found, step, rest = 0.0, 0.5, max(0, account_id - 1)
    while rest:
        found += step * (rest & 1)
        rest, step = rest >> 1, step / 2
    return found


def next_time(rule: Rule, after: datetime, account_id: int, factor: int = 1) -> datetime:
    """The rule's next time for the account. However many were missed before `after`, they are over."""
    if isinstance(rule, Cron):
        return _by_cron(rule, after, timedelta(seconds=int(CRON_SPREAD * position_in_interval(account_id))))
    return _by_interval(stretched_interval(rule, factor), after, position_in_interval(account_id))


def _by_cron(rule: Cron, after: datetime, later: timedelta) -> datetime:
    found = CronSim(rule.expression, (after - later).astimezone(ZoneInfo(rule.zone)))
    times = (local.astimezone(UTC) + later for local in found)
    # The first that it finds can be over: in the hour that comes twice, or when two that were skipped come as one.
    return next(time for time in times if time > after)


def _by_interval(step: int, after: datetime, where: float) -> datetime:
    """On a grid, so that nothing drifts; half a step away at least, so that what was late is not followed at once."""
    first = int(step * where)
    steps = math.floor((after.timestamp() + step / 2 - first) / step) + 1
    return datetime.fromtimestamp(first + steps * step, UTC)


# ---- too few calls --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FamilyUsage:
    """Requests of one family in the last 24 hours, and how many Spotify allows in that time, if that is known."""

    used: int
    budget: int | None


def budget_left(families: Iterable[FamilyUsage]) -> float | None:
    """The share, 0..1, that is left of the budget of the family that is shortest. None: no budget is known."""
    shares = [
        max(0.0, 1 - each.used / each.budget) if each.budget else 0.0 for each in families if each.budget is not None
    ]
    return min(shares, default=None)


def stretch_factor(left: float | None, *, quota_met: bool) -> int:
    """How many times longer the interval is: doubled with each halving of what is left below a quarter, to 8 times.

    Without a budget to go by: whether Spotify has said in the last day that it was used up.
    """
    if left is None:
        return AFTER_A_QUOTA if quota_met else 1
    return next((factor for factor, share in ((1, 1 / 4), (2, 1 / 8), (4, 1 / 16)) if left >= share), 8)


def stretched_interval(rule: Every, factor: int) -> int:
    return max(rule.seconds, min(LONGEST, rule.seconds * factor))


def unblocked_at(blocks: Mapping[str, datetime]) -> datetime | None:
    """When an incremental sync, all of whose families are blocked, can read something. None: now.

    `blocks`: until when each family is blocked, `*` for all of them.
    """
    untils = [
        max((blocks[name] for name in (family, "*") if name in blocks), default=None)
        for family in ("library", "playlists")
    ]
    return None if None in untils else min(until for until in untils if until)


def deferred_time(free: datetime, next_one: datetime, account_id: int) -> datetime:
    """When to look again: as soon as Spotify allows it, account after account; at the next time, if that is earlier.

    A person can end a limit, and nobody would notice until it is looked at again.
    """
    return min(free + timedelta(seconds=int(60 * position_in_interval(account_id))), next_one)


def schedule_document(
    account: dict[str, Any], kind: Kind, rule: Rule | None, row: dict[str, Any] | None
) -> dict[str, Any]:
    """What is known of one kind of an account: when it comes, how often, what became of the last one."""
    row = row or {}
    return {
        "account": account["account"],
        "account_status": account["account_status"],
        "kind": kind,
        "on": rule is not None,
        "variable": VARIABLES[kind],
        "cron": rule.expression if isinstance(rule, Cron) else None,
        "time_zone": rule.zone if isinstance(rule, Cron) else None,
        "every_seconds": rule.seconds if isinstance(rule, Every) else None,
        "stretched_to_seconds": row.get("stretched_to"),
        "due_at": _iso(row.get("due_at")) if rule else None,
        "last_at": _iso(row.get("last_at")),
        "last_sync_id": row.get("sync_id"),
        "last_status": row.get("last_status"),
        "note": row.get("note"),
        "as_of": _iso(account["now"]),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


# ---- in words -------------------------------------------------------------------------------------------------------


def format_clock(moment: datetime, now: datetime, zone: str) -> str:
    """The time of day, with its day when that is not today: `10:32`, `Sunday 04:00`, `3 March 04:00`."""
    local, today = moment.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    days = (local.date() - today.date()).days
    if days == 0:
        return f"{local:%H:%M}"
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local:%A %H:%M}" if 0 < days < 7 else f"{local.day} {local:%B}{year} {local:%H:%M}"
