"""When what comes by itself is due: times by cron or by interval, spread over accounts, stretched when calls are short.

The times of a rule are a fixed set for each account, whoever asks and whenever: two processes, or one that was away,
come to the same next one.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

Kind = Literal["full", "incremental", "playback"]

# A cron expression says when; accounts follow each other within this many seconds of it.
CRON_SPREAD: Final = 600
# An interval is never stretched to more than a day.
LONGEST: Final = 86_400
# What a quota that was met tells: more than the day's calls went, but not by how much.
AFTER_A_QUOTA: Final = 4


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


def place(account_id: int) -> float:
    """The account's place in 0..1, by its id alone: 0, 1/2, 1/4, 3/4, 1/8 … so that any number is spread evenly."""
    found, step, rest = 0.0, 0.5, max(0, account_id - 1)
    while rest:
        found += step * (rest & 1)
        rest, step = rest >> 1, step / 2
    return found


def next_time(rule: Rule, after: datetime, account_id: int, factor: int = 1) -> datetime:
    """The rule's next time for the account. However many were missed before `after`, they are over."""
    if isinstance(rule, Cron):
        return _by_cron(rule, after, timedelta(seconds=int(CRON_SPREAD * place(account_id))))
    return _by_interval(stretched(rule, factor), after, place(account_id))


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
class Spent:
    """Requests of one family in the last 24 hours, and how many Spotify allows in that time, if that is known."""

    used: int
    budget: int | None


def calls_left(families: Iterable[Spent]) -> float | None:
    """The share, 0..1, that is left of the budget of the family that is shortest. None: no budget is known."""
    shares = [
        max(0.0, 1 - each.used / each.budget) if each.budget else 0.0 for each in families if each.budget is not None
    ]
    return min(shares, default=None)


def stretch(left: float | None, *, quota_met: bool) -> int:
    """How many times longer the interval is: doubled with each halving of what is left below a quarter, to 8 times.

    Without a budget to go by: whether Spotify has said in the last day that it was used up.
    """
    if left is None:
        return AFTER_A_QUOTA if quota_met else 1
    return next((factor for factor, share in ((1, 1 / 4), (2, 1 / 8), (4, 1 / 16)) if left >= share), 8)


def stretched(rule: Every, factor: int) -> int:
    return max(rule.seconds, min(LONGEST, rule.seconds * factor))


def free_at(blocks: Mapping[str, datetime]) -> datetime | None:
    """When an incremental sync, all of whose families are blocked, can read something. None: now.

    `blocks`: until when each family is blocked, `*` for all of them.
    """
    untils = [
        max((blocks[name] for name in (family, "*") if name in blocks), default=None)
        for family in ("library", "playlists")
    ]
    return None if None in untils else min(until for until in untils if until)


def put_off_to(free: datetime, next_one: datetime, account_id: int) -> datetime:
    """When to look again: as soon as Spotify allows it, account after account; at the next time, if that is earlier.

    A person can end a limit, and nobody would notice until it is looked at again.
    """
    return min(free + timedelta(seconds=int(60 * place(account_id))), next_one)


# ---- in words -------------------------------------------------------------------------------------------------------


def clock(moment: datetime, now: datetime, zone: str) -> str:
    """The time of day, with its day when that is not today: `10:32`, `Sunday 04:00`, `3 March 04:00`."""
    local, today = moment.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    days = (local.date() - today.date()).days
    if days == 0:
        return f"{local:%H:%M}"
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local:%A %H:%M}" if 0 < days < 7 else f"{local.day} {local:%B}{year} {local:%H:%M}"
