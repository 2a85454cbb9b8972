"""Due times of scheduled work: by cron or interval, spread over accounts.

The times of a rule are a fixed set for each account, so that all processes compute the same next time, even after
downtime.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

from spotisync.settings import Settings

Kind = Literal["full", "incremental", "playback"]

# Seconds after the time of a cron expression over which accounts are spread: more if there are many of them.
CRON_SPREAD: Final = 600
CRON_SECONDS_PER_ACCOUNT: Final = 2
LONGEST_CRON_SPREAD: Final = 21_600
# Steps in an interval at which a longer one can end.
FINER: Final = 10
# Seconds: six hours.
LONGEST: Final = 21_600
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


def cron_delay(account_id: int) -> int:
    """Seconds from the time of a cron expression until the account is due. Accounts added later do not change it."""
    accounts = 1 << (max(1, account_id) - 1).bit_length()  # no fewer than there were when this one was added
    spread = min(LONGEST_CRON_SPREAD, max(CRON_SPREAD, CRON_SECONDS_PER_ACCOUNT * accounts))
    return int(spread * position_in_interval(account_id))


def next_time(
    rule: Rule, after: datetime, account_id: int, wait: Callable[[datetime], float] | None = None
) -> datetime:
    """The rule's next time for the account after `after`; missed times are not made up.

    `wait`: the interval in seconds, which can depend on the time at which it ends and is not shortened by it.
    """
    if isinstance(rule, Cron):
        return _by_cron(rule, after, timedelta(seconds=cron_delay(account_id)))
    return _by_interval(rule.seconds, after, position_in_interval(account_id), wait or (lambda _: rule.seconds))


def _by_cron(rule: Cron, after: datetime, offset: timedelta) -> datetime:
    found = CronSim(rule.expression, (after - offset).astimezone(ZoneInfo(rule.zone)))
    times = (local.astimezone(UTC) + offset for local in found)
    # CronSim's first time can be in the past: in a repeated hour, or when two skipped times coincide.
    return next(time for time in times if time > after)


def _by_interval(step: int, after: datetime, position: float, wait: Callable[[datetime], float]) -> datetime:
    """On a fixed grid, so that times don't drift; at least half a step after `after`, in case the last one was late.

    The grid of lengthened intervals is finer, and its last time within the interval is taken. What depends on the hour
    begins for each account at its own position, so that they don't all begin at once.
    """
    first = int(step * position)
    steps = math.floor((after.timestamp() + step / 2 - first) / step) + 1
    usual = datetime.fromtimestamp(first + steps * step, UTC)
    shift, fine = timedelta(seconds=first), timedelta(seconds=step / FINER)

    def get_interval(time: datetime) -> float:
        return min(wait(time - shift), longest(step))

    if get_interval(usual) <= step:
        return usual
    times = (usual + fine * number for number in itertools.count())
    return next(time for time in times if time - after + fine > timedelta(seconds=get_interval(time)))


def longest(usual: float) -> float:
    """Seconds: no interval is lengthened beyond this."""
    return max(usual, LONGEST)


# ---- limits ---------------------------------------------------------------------------------------------------------


def unblocked_at(blocks: Mapping[str, datetime], families: Iterable[str]) -> datetime | None:
    """When one of these families becomes unblocked. None: one is free now.

    `blocks`: the end of the cooldown of each blocked family; `*` stands for all families.
    """
    ends = [max((blocks[name] for name in (family, "*") if name in blocks), default=None) for family in families]
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
