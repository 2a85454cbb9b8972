"""When an account's interval work is due next: by its rhythm, its developer account's budget, and Spotify's limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from spotisync.core import budget, schedule
from spotisync.core.budget import FamilyBudget, Purpose
from spotisync.core.durations import format_duration
from spotisync.core.rhythm import AdaptedInterval
from spotisync.core.schedule import Every
from spotisync.store import budgets, cooldowns, schedules
from spotisync.store.budgets import Developer
from spotisync.store.database import Connection
from spotisync.store.schedules import DueEntry
from spotisync.sync.budgets import get_developer
from spotisync.sync.context import Context

# What each kind of work reads; it can start if one of its families is free.
FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {"incremental": ("library", "playlists"), "playback": ("player",)}
PURPOSES: Final[Mapping[str, Purpose]] = {"incremental": "incremental", "playback": "playback"}


@dataclass(frozen=True)
class IntervalPlan:
    """The next time. `deferred_to`: it can't be done now, and is tried again then. `stretched_to`: seconds."""

    next_at: datetime
    stretched_to: int | None = None
    note: str | None = None
    deferred_to: datetime | None = None


@dataclass(frozen=True)
class WorkLimits:
    """What limits one kind of work of a developer account. `scarcest`: the family with the fewest calls left.

    `blocked`: until when none of its families may send requests, and why.
    """

    scarcest: FamilyBudget | None
    blocked: tuple[datetime, str] | None

    @property
    def factor(self) -> float:
        return budget.stretch_factor(self.scarcest.left if self.scarcest else None)


def read_limits(connection: Connection, developer: Developer, kind: str, now: datetime) -> WorkLimits:
    found = budgets.read_budgets(connection, developer)
    scarcest = budget.find_scarcest(found[family] for family in FAMILIES[kind])
    return WorkLimits(scarcest, _find_blocked(connection, developer, kind, now, found))


def plan_interval(taken: DueEntry, rule: Every, limits: WorkLimits, zone: str) -> IntervalPlan:
    interval = AdaptedInterval(taken.kind, rule.seconds, taken.rhythm, taken.now, limits.factor)
    next_at = schedule.next_time(rule, taken.now, taken.account_id, interval.get_seconds)
    if limits.blocked:
        free, why = limits.blocked
        until = schedule.format_clock(free, taken.now, zone)
        deferred_to = schedule.deferred_time(free, next_at, taken.account_id)
        return IntervalPlan(next_at, note=f"deferred until {until}: {why}", deferred_to=deferred_to)
    seconds = int(interval.get_seconds(next_at))
    if seconds <= rule.seconds:
        return IntervalPlan(next_at)
    scarcest = limits.scarcest if limits.factor > 1 else None
    return IntervalPlan(next_at, seconds, _describe(seconds, rule.seconds, scarcest))


def hasten_sync(context: Context, account_id: int) -> None:
    """Sync an account that was quiet soon: it has just been listened with, which is when libraries change."""
    rule = schedule.schedule_rules(context.settings).get("incremental")
    with context.database.begin() as connection:
        planned = schedules.find_planned(connection, account_id, "incremental")
        if planned is None or not isinstance(rule, Every):
            return
        limits = read_limits(connection, get_developer(context, context.apps.get(planned)), "incremental", planned.now)
        interval = AdaptedInterval("incremental", rule.seconds, planned.rhythm, planned.now, limits.factor)
        due_at = schedule.next_time(rule, planned.now, account_id, interval.get_seconds)
        if due_at < planned.due_at:
            schedules.hasten(connection, planned, due_at)


def _describe(seconds: int, usual: int, scarcest: FamilyBudget | None) -> str:
    instead = f"every {format_duration(seconds)} instead of {format_duration(usual)}"
    if scarcest is None or scarcest.ceiling is None:
        return f"{instead}: nothing is usually played or changed at that time"
    return f"{instead}: {describe_spent(scarcest)}"


def describe_spent(spent: FamilyBudget) -> str:
    assert spent.ceiling is not None  # noqa: S101 (for mypy: callers have a ceiling)
    about = "" if spent.ceiling.source == "set" else "about "
    return f"{spent.spent:,} of {about}{spent.ceiling.calls:,} {spent.family} calls of 24 h are spent"


def _find_blocked(
    connection: Connection, developer: Developer, kind: str, now: datetime, found: Mapping[str, FamilyBudget]
) -> tuple[datetime, str] | None:
    """Until when every family of this work is blocked or spent, and why. None: one is free now."""
    families, purpose = FAMILIES[kind], PURPOSES[kind]
    blocks = cooldowns.list_active(connection, developer.name)
    ends = {block.family: block.until for block in blocks}
    by_hand = all(block.reason == "manual" for block in blocks if block.family in {*families, "*"})
    why = "blocked by hand" if by_hand else "Spotify limit"
    for family in families:
        if excess := found[family].find_excess(purpose, 1):
            free, _ = budgets.find_free_time(connection, developer.name, family, excess)
            if free > ends.get(family, now):
                ends[family], why = free, describe_spent(found[family])
    unblocked = schedule.unblocked_at(ends, families)
    return (unblocked, why) if unblocked else None
