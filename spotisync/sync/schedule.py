"""What comes by itself. Beat only knocks; what is due stands in Postgres, and is taken there by one.

So it does not matter how many beats there are, whether a message is lost or comes twice, or for how long nobody
knocked: a time that has come is taken once, in the transaction that makes its run and notes the next time.
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


@dataclass(frozen=True)
class PlaybackDue:
    """Plays of an account are to be read: a message and no run. One that is lost is made good by the next one."""

    account: str
    expires: int


def take_due(context: Context) -> Iterator[Run | PlaybackDue]:
    """Take what is due. What it yields is committed, and wants to be published; sweep finds runs that were not."""
    on = schedule.schedule_rules(context.settings)
    with context.database.begin() as connection:
        _plan(connection, on)
        waiting = schedules.list_due(connection)
    for each in waiting:
        if made := context.database.transact(partial(_take, context, on, each)):
            yield made


def _plan(connection: Connection, on: Mapping[Kind, Rule]) -> None:
    """New accounts, kinds that were switched on or off, rules that are others than they were."""
    schedules.delete_other_kinds(connection, list(on))
    for new in schedules.find_unplanned(connection, {kind: str(rule) for kind, rule in on.items()}):
        rule = on[new.kind]
        schedules.set_first_time(connection, new, str(rule), schedule.next_time(rule, new.now, new.account_id))


def _take(
    context: Context, on: Mapping[Kind, Rule], wanted: DueEntry, connection: Connection
) -> Run | PlaybackDue | None:
    taken = schedules.lock_due(connection, wanted)
    if taken is None:
        return None
    rule = on[taken.kind]
    if isinstance(rule, Every) and taken.kind == "playback":
        next_one = schedule.next_time(rule, taken.now, taken.account_id)
        schedules.mark_done(connection, taken, str(rule), next_one)
        return PlaybackDue(taken.account, rule.seconds)
    factor = _factor(context, connection) if taken.kind == "incremental" else 1
    next_one = schedule.next_time(rule, taken.now, taken.account_id, factor)
    if taken.kind == "incremental" and (free := _free_at(context, connection)):
        look_again = schedule.deferred_time(free, next_one, taken.account_id)
        until = schedule.format_clock(free, taken.now, context.settings.zone)
        schedules.mark_deferred(connection, taken, str(rule), look_again, f"put off until {until}: Spotify's limit")
        return None
    run, created = _run(context, connection, taken)
    longer = schedule.stretched_interval(rule, factor) if isinstance(rule, Every) and factor > 1 else None
    note = _note(rule, longer, None if created else run)
    schedules.mark_done(connection, taken, str(rule), next_one, sync_id=run.id, stretched_to=longer, note=note)
    return run if created else None


def _run(context: Context, connection: Connection, taken: DueEntry) -> tuple[Run, bool]:
    """The unfinished run, or a new one, by a key of this very time: never two of one time, whatever happens."""
    key = f"schedule {taken.kind} {taken.due_at.astimezone(UTC).isoformat()}"
    if found := runs.find(connection, taken.account_id, taken.kind, key):
        return found, False
    stall = context.settings.stall_seconds
    made = runs.get(connection, runs.create(connection, taken.account_id, taken.kind, "beat", key, None, stall=stall))
    assert made  # noqa: S101
    return made, True


def _factor(context: Context, connection: Connection) -> int:
    """What a day allows is known of restricted apps alone, and roughly: some hundred calls of each family."""
    client_id = context.settings.require_client_id()
    restricted = apps.get_regime(connection, client_id) == "restricted"
    budget = context.settings.enrichment_budget if restricted else None
    spent = [
        FamilyUsage(call_ledger.count_last_day(connection, client_id, family), budget)
        for family in ("library", "playlists")
    ]
    return schedule.stretch_factor(
        schedule.budget_left(spent), quota_met=schedules.has_recent_quota_429(connection, client_id)
    )


def _free_at(context: Context, connection: Connection) -> datetime | None:
    blocks = cooldowns.list_active(connection, context.settings.require_client_id())
    return schedule.unblocked_at({block.family: block.until for block in blocks})


def _note(rule: Rule, longer: int | None, joined: Run | None) -> str | None:
    """What a person would wonder about."""
    said = [f"joined run {joined.id}, which was not over"] if joined else []
    if isinstance(rule, Every) and longer and longer > rule.seconds:
        usual = format_duration(rule.seconds)
        said.append(f"every {format_duration(longer)} instead of {usual}: the day's calls would not last")
    return "; ".join(said) or None


def list_schedule(database: Database, settings: Settings, account: str | None) -> list[dict[str, Any]]:
    """For every account and kind, also those that are off: when it comes, how often, what became of the last one."""
    on = schedule.schedule_rules(settings)
    with database.begin() as connection:
        if account:
            accounts.find_account(connection, account)
        rows = schedules.list_entries(connection, account)
    known = {(row["account"], row["kind"]): row for row in rows}
    return [
        schedule.schedule_document(row, kind, on.get(kind), known.get((row["account"], kind)))
        for row in {row["account"]: row for row in rows}.values()
        for kind in schedule.VARIABLES
    ]
