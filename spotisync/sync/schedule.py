"""Scheduled syncs and playback reads. Beat only triggers the check; due times are in Postgres.

Each due time is taken once, in the transaction that creates its run and records the next time. The number of beats,
lost or duplicate messages and outages of beat therefore do not matter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from spotisync.core import schedule
from spotisync.core.durations import format_duration
from spotisync.core.schedule import Every, FamilyUsage, Kind, Rule
from spotisync.settings import Settings
from spotisync.store import accounts, apps, call_ledger, cooldowns, runs, schedules
from spotisync.store.database import Connection, Database
from spotisync.store.runs import Run
from spotisync.store.schedules import DueEntry
from spotisync.sync.context import Context
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
    factor = _get_factor(context, connection) if taken.kind == "incremental" else 1
    next_at = schedule.next_time(rule, taken.now, taken.account_id, factor)
    if isinstance(rule, Every) and taken.kind == "playback":
        schedules.mark_done(connection, taken, str(rule), next_at)
        return PlaybackDue(taken.account, rule.seconds)
    if taken.kind == "incremental" and (unblocked := _get_unblocked_at(context, connection)):
        deferred_to = schedule.deferred_time(unblocked, next_at, taken.account_id)
        until = schedule.format_clock(unblocked, taken.now, context.settings.zone)
        schedules.mark_deferred(connection, taken, str(rule), deferred_to, f"deferred until {until}: Spotify limit")
        return None
    run, created = _join_or_create(connection, taken)
    stretched_to = schedule.stretched_interval(rule, factor) if isinstance(rule, Every) and factor > 1 else None
    note = _describe(rule, stretched_to, None if created else run)
    schedules.mark_done(connection, taken, str(rule), next_at, sync_id=run.id, stretched_to=stretched_to, note=note)
    return run if created else None


def _join_or_create(connection: Connection, taken: DueEntry) -> tuple[Run, bool]:
    """Join the unfinished run or create one. The key is the due time, so that no due time creates two runs."""
    key = f"schedule {taken.kind} {taken.due_at.astimezone(UTC).isoformat()}"
    if found := runs.find(connection, taken.account_id, taken.kind, key):
        return found, False
    sync_id = runs.create(connection, taken.account_id, taken.kind, "beat", key, None)
    return require_run(connection, sync_id), True


def _get_factor(context: Context, connection: Connection) -> int:
    """A daily budget is known only for restricted apps, and roughly: some hundred calls of each family."""
    client_id = context.settings.require_client_id()
    restricted = apps.get_regime(connection, client_id) == "restricted"
    budget = context.settings.enrichment_budget if restricted else None
    usage = [
        FamilyUsage(call_ledger.count_last_day(connection, client_id, family), budget)
        for family in ("library", "playlists")
    ]
    return schedule.stretch_factor(
        schedule.budget_left(usage), quota_met=schedules.has_recent_quota_429(connection, client_id)
    )


def _get_unblocked_at(context: Context, connection: Connection) -> datetime | None:
    blocks = cooldowns.list_active(connection, context.settings.require_client_id())
    return schedule.unblocked_at({block.family: block.until for block in blocks})


def _describe(rule: Rule, stretched_to: int | None, joined: Run | None) -> str | None:
    """Explain what differs from the rule."""
    notes = [f"joined run {joined.id}, which had not ended"] if joined else []
    if isinstance(rule, Every) and stretched_to and stretched_to > rule.seconds:
        usual = format_duration(rule.seconds)
        notes.append(f"every {format_duration(stretched_to)} instead of {usual}: few calls left today")
    return "; ".join(notes) or None


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
