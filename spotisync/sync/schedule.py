"""Scheduled syncs and playback reads. Beat only triggers the check; due times are in Postgres.

Each due time is taken once, in the transaction that creates its run and records the next time. The number of beats,
lost or duplicate messages and outages of beat therefore do not matter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import Any

from spotisync.core import schedule
from spotisync.core.schedule import Every, Kind, Rule
from spotisync.settings import Settings
from spotisync.store import accounts, runs, schedules
from spotisync.store.database import Connection, Database
from spotisync.store.runs import Run
from spotisync.store.schedules import DueEntry, TakenEntry
from spotisync.sync.budgets import get_developer
from spotisync.sync.context import Context
from spotisync.sync.intervals import IntervalPlan, WorkLimits, plan_interval, read_limits


@dataclass(frozen=True)
class PlaybackDue:
    """A read of an account's plays: a message without a run. The next read makes up for a lost one."""

    account: str
    expires: int


# Entries that one transaction takes. Their accounts are locked until it ends.
CHUNK = 200


def take_due(context: Context) -> Iterator[Run | PlaybackDue]:
    """Take what is due. What it yields is committed and must be published; sweep publishes runs that were not."""
    rules = schedule.schedule_rules(context.settings)
    context.database.transact(partial(_plan, rules))
    tick = Tick(context)
    for kind in (kind for kind in KINDS if kind in rules):
        chunk = Chunk([], more=True)
        while chunk.more:
            chunk = context.database.transact(partial(tick.take_chunk, kind, rules[kind]))
            yield from chunk.due


# A full sync covers an incremental one.
KINDS: tuple[Kind, ...] = ("full", "incremental", "playback")


def _plan(rules: Mapping[Kind, Rule], connection: Connection) -> None:
    """Apply new accounts, enabled or disabled kinds, and changed rules."""
    schedules.delete_other_kinds(connection, list(rules))
    unplanned = schedules.find_unplanned(connection, {kind: str(rule) for kind, rule in rules.items()})
    times = {new: schedule.next_time(rules[new.kind], new.now, new.account_id) for new in unplanned}
    schedules.set_first_times(connection, {kind: str(rule) for kind, rule in rules.items()}, times)


@dataclass(frozen=True)
class Chunk:
    """What was taken at once. `more`: there may be more of its kind."""

    due: list[Run | PlaybackDue]
    more: bool


@dataclass
class Tick:
    """One look at what is due. Limits of developer accounts are read once."""

    context: Context
    _limits: dict[tuple[str, Kind], WorkLimits] = field(default_factory=dict)

    def take_chunk(self, kind: Kind, rule: Rule, connection: Connection) -> Chunk:
        entries = schedules.lock_due(connection, kind, CHUNK)
        plans = {each: self._plan(connection, each, rule) for each in entries}
        ready = [each for each, plan in plans.items() if not plan.deferred_to]
        keys = {each.account_id: _key(each) for each in ready} if kind != "playback" else {}
        found, created = runs.find_or_create(connection, kind, keys)
        joined = {account_id: run for account_id, run in found.items() if account_id not in created}
        results = [_result(each, plan, found, joined) for each, plan in plans.items()]
        schedules.save_plans(connection, kind, str(rule), results)
        expires = rule.seconds if isinstance(rule, Every) and kind == "playback" else None
        reads = [PlaybackDue(each.account, expires) for each in ready] if expires else []
        return Chunk([*reads, *(found[account_id] for account_id in created)], len(entries) == CHUNK)

    def _plan(self, connection: Connection, taken: DueEntry, rule: Rule) -> IntervalPlan:
        if not isinstance(rule, Every):
            return IntervalPlan(schedule.next_time(rule, taken.now, taken.account_id))
        developer = get_developer(self.context, self.context.apps.get(taken))
        key = developer.name, taken.kind
        if key not in self._limits:
            self._limits[key] = read_limits(connection, developer, taken.kind, taken.now)
        return plan_interval(taken, rule, self._limits[key], self.context.settings.zone)


def _key(taken: DueEntry) -> str:
    """The key is the due time, so that no due time creates two runs."""
    return f"schedule {taken.kind} {taken.due_at.astimezone(UTC).isoformat()}"


def _result(taken: DueEntry, plan: IntervalPlan, found: Mapping[int, Run], joined: Mapping[int, Run]) -> TakenEntry:
    run = found.get(taken.account_id)
    note = f"joined run {run.id}, which had not ended" if run and run.account_id in joined else None
    return TakenEntry(
        account_id=taken.account_id,
        due_at=plan.deferred_to or plan.next_at,
        is_done=not plan.deferred_to,
        sync_id=run.id if run else None,
        stretched_to=plan.stretched_to,
        note="; ".join(filter(None, (note, plan.note))) or None,
    )


def list_schedule(database: Database, settings: Settings, account: str | None) -> list[dict[str, Any]]:
    """For every account and kind, also disabled ones: the next time, the interval, the result of the last one."""
    rules = schedule.schedule_rules(settings)
    with database.begin() as connection:
        name = accounts.find_account(connection, account).spotify_user_id if account else None
        rows = schedules.list_entries(connection, name)
    known = {(row["account"], row["kind"]): row for row in rows}
    return [
        schedule.schedule_document(row, kind, rules.get(kind), known.get((row["account"], kind)))
        for row in {row["account"]: row for row in rows}.values()
        for kind in schedule.VARIABLES
    ]
