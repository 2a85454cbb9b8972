"""Due times of scheduled work: by cron or interval, spread over accounts, stretched when few calls are left.

The times of a rule are a fixed set for each account, so that all processes compute the same next time, even after
downtime.
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

# Accounts are spread over this many seconds after the time of a cron expression.
CRON_SPREAD: Final = 600
# Seconds: an interval is never stretched beyond a day.
LONGEST: Final = 86_400
# After a quota 429 the budget is known to be used up, but not by how many calls it was exceeded.
AFTER_A_QUOTA: Final = 4
# The variable that sets the frequency or turns the kind off.
VARIABLES: Final[Mapping[Kind, str]] = {
    "full": "SPOTISYNC_FULL_SYNC_SCHEDULE",
    "incremental": "SPOTISYNC_INCREMENTAL_INTERVAL",
    "playback": "SPOTISYNC_PLAYBACK_INTERVAL",
}


@dataclass(frozen=True)
class Cron:
    """Five fields, in this time zone. A time skipped by a clock change is due right after it, a repeated one once."""

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
    """The rules of the kinds that are turned on."""
    found: dict[Kind, Rule] = {}
    if settings.full_sync_schedule:
        found["full"] = Cron(settings.full_sync_schedule, settings.zone)
    if settings.incremental_interval:
        found["incremental"] = Every(settings.incremental_interval)
    if settings.playback_interval:
        found["playback"] = Every(settings.playback_interval)
    return found


def position_in_interval(account_id: int) -> float:
    """The account's position in 0..1, from its id: 0, 1/2, 1/4, 3/4, 1/8 …, which spreads any number evenly."""
    found, step, rest = 0.0, 0.5, max(0, account_id - 1)
    while rest:
        found += step * (rest & 1)
        rest, step = rest >> 1, step / 2
    return found


def next_time(rule: Rule, after: datetime, account_id: int, factor: int = 1) -> datetime:
    """The rule's next time for the account after `after`; missed times are not made up."""
    if isinstance(rule, Cron):
        return _by_cron(rule, after, timedelta(seconds=int(CRON_SPREAD * position_in_interval(account_id))))
    return _by_interval(stretched_interval(rule, factor), after, position_in_interval(account_id))


def _by_cron(rule: Cron, after: datetime, offset: timedelta) -> datetime:
    found = CronSim(rule.expression, (after - offset).astimezone(ZoneInfo(rule.zone)))
    times = (local.astimezone(UTC) + offset for local in found)
    # CronSim's first time can be in the past: in a repeated hour, or when two skipped times coincide.
    return next(time for time in times if time > after)


def _by_interval(step: int, after: datetime, position: float) -> datetime:
    """On a fixed grid, so that times don't drift; at least half a step after `after`, in case the last one was late."""
    first = int(step * position)
    steps = math.floor((after.timestamp() + step / 2 - first) / step) + 1
    return datetime.fromtimestamp(first + steps * step, UTC)


# ---- budgets --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FamilyUsage:
    """Requests of one family in the last 24 hours, and its budget for them, if known."""

    used: int
    budget: int | None


def budget_left(families: Iterable[FamilyUsage]) -> float | None:
    """The share, 0..1, of the budget left in the scarcest family. None: no budget is known."""
    shares = [
        max(0.0, 1 - each.used / each.budget) if each.budget else 0.0 for each in families if each.budget is not None
    ]
    return min(shares, default=None)


def stretch_factor(left: float | None, *, quota_met: bool) -> int:
    """The factor of the interval: doubled with each halving of the budget left below a quarter, up to 8.

    Without a known budget it depends on `quota_met`: a 429 for a quota within the last day.
    """
    if left is None:
        return AFTER_A_QUOTA if quota_met else 1
    return next((factor for factor, share in ((1, 1 / 4), (2, 1 / 8), (4, 1 / 16)) if left >= share), 8)


def stretched_interval(rule: Every, factor: int) -> int:
    return max(rule.seconds, min(LONGEST, rule.seconds * factor))


def unblocked_at(blocks: Mapping[str, datetime]) -> datetime | None:
    """When one of an incremental sync's families becomes unblocked. None: one is free now.

    `blocks`: the end of the cooldown of each blocked family; `*` stands for all families.
    """
    ends = [
        max((blocks[name] for name in (family, "*") if name in blocks), default=None)
        for family in ("library", "playlists")
    ]
    return None if None in ends else min(end for end in ends if end)


def deferred_time(free: datetime, next_one: datetime, account_id: int) -> datetime:
    """When to try again: at `free`, spread over accounts, or at the next regular time if that is earlier.

    A user can clear the cooldown, which is noticed only at the next try.
    """
    return min(free + timedelta(seconds=int(60 * position_in_interval(account_id))), next_one)


def schedule_document(
    account: dict[str, Any], kind: Kind, rule: Rule | None, row: dict[str, Any] | None
) -> dict[str, Any]:
    """One kind of scheduled work of an account: its rule, next time, last time and last run."""
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


# ---- formatting -----------------------------------------------------------------------------------------------------


def format_clock(moment: datetime, now: datetime, zone: str) -> str:
    """`10:32`; `Sunday 04:00` within the next six days; else `3 March 04:00`."""
    local, today = moment.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    days = (local.date() - today.date()).days
    if days == 0:
        return f"{local:%H:%M}"
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local:%A %H:%M}" if 0 < days < 7 else f"{local.day} {local:%B}{year} {local:%H:%M}"
