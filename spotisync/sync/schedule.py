"""Scheduled syncs and playback reads. Beat only triggers the check; due times are in Postgres.

Each due time is taken once, in the transaction that creates its run and records the next time. The number of beats,
lost or duplicate messages and outages of beat therefore do not matter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import Any

from spotisync.core import schedule
from spotisync.core.schedule import Every, Kind, Rule
from spotisync.settings import Settings
from spotisync.store import accounts, runs, schedules
from spotisync.store.database import Connection, Database
from spotisync.store.runs import Run
from spotisync.store.schedules import DueEntry
from spotisync.sync.context import Context
from spotisync.sync.intervals import IntervalPlan, plan_interval
from spotisync.sync.runs import require_run


@dataclass(frozen=True)
class PlaybackDue:
    """A read of an account's plays: a message without a run. The next read makes up for a lost one."""

    account: str
    expires: int


def take_due(context: Context) -> Iterator[Run | PlaybackDue]:
    """Take what is due. What it yields is committed and must be published; sweep publishes runs that were not."""
    rules = schedule.schedule_rules(context.settings)
    with context.database.begin() as connection:
        _plan(connection, rules)
        entries = schedules.list_due(connection)
    for entry in entries:
        if due := context.database.transact(partial(_take, context, rules, entry)):
            yield due


def _plan(connection: Connection, rules: Mapping[Kind, Rule]) -> None:
    """Apply new accounts, enabled or disabled kinds, and changed rules."""
    schedules.delete_other_kinds(connection, list(rules))
    for new in schedules.find_unplanned(connection, {kind: str(rule) for kind, rule in rules.items()}):
        rule = rules[new.kind]
        schedules.set_first_time(connection, new, str(rule), schedule.next_time(rule, new.now, new.account_id))


def _take(
    context: Context, rules: Mapping[Kind, Rule], entry: DueEntry, connection: Connection
) -> Run | PlaybackDue | None:
    taken = schedules.lock_due(connection, entry)
    if taken is None:
        return None
    rule = rules[taken.kind]
    if isinstance(rule, Every):
        plan = plan_interval(context, connection, taken, rule)
    else:
        plan = IntervalPlan(schedule.next_time(rule, taken.now, taken.account_id))
    if plan.deferred_to:
        schedules.mark_deferred(connection, taken, str(rule), plan.deferred_to, plan.note or "")
        return None
    if isinstance(rule, Every) and taken.kind == "playback":
        schedules.mark_done(connection, taken, str(rule), plan.next_at, stretched_to=plan.stretched_to, note=plan.note)
        return PlaybackDue(taken.account, rule.seconds)
    run, created = _join_or_create(connection, taken)
    joined = None if created else f"joined run {run.id}, which had not ended"
    note = "; ".join(filter(None, (joined, plan.note))) or None
    schedules.mark_done(
        connection, taken, str(rule), plan.next_at, sync_id=run.id, stretched_to=plan.stretched_to, note=note
    )
    return run if created else None


def _join_or_create(connection: Connection, taken: DueEntry) -> tuple[Run, bool]:
    """Join the unfinished run or create one. The key is the due time, so that no due time creates two runs."""
    key = f"schedule {taken.kind} {taken.due_at.astimezone(UTC).isoformat()}"
    if found := runs.find(connection, taken.account_id, taken.kind, key):
        return found, False
    sync_id = runs.create(connection, taken.account_id, taken.kind, "beat", key, None)
    return require_run(connection, sync_id), True


def list_schedule(database: Database, settings: Settings, account: str | None) -> list[dict[str, Any]]:
    """For every account and kind, also disabled ones: the next time, the interval, the result of the last one."""
    rules = schedule.schedule_rules(settings)
    with database.begin() as connection:
        if account:
            accounts.find_account(connection, account)
        rows = schedules.list_entries(connection, account)
    known = {(row["account"], row["kind"]): row for row in rows}
    return [
        schedule.schedule_document(row, kind, rules.get(kind), known.get((row["account"], kind)))
        for row in {row["account"]: row for row in rows}.values()
        for kind in schedule.VARIABLES
    ]
