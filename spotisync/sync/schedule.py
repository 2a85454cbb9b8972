"""What comes by itself. Beat only knocks; what is due stands in Postgres, and is taken there by one.

So it does not matter how many beats there are, whether a message is lost or comes twice, or for how long nobody
knocked: a time that has come is taken once, in the transaction that makes its run and notes the next time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from spotisync import gate
from spotisync.core import schedule
from spotisync.core.schedule import Every, Kind, Rule, Spent
from spotisync.core.spans import span
from spotisync.settings import Settings
from spotisync.store import accounts, apps, ledger, runs, schedules
from spotisync.store.database import Connection, Database
from spotisync.store.runs import Run
from spotisync.store.schedules import Due
from spotisync.sync.context import Sync


@dataclass(frozen=True)
class Reading:
    """Plays of an account are to be read: a message and no run. One that is lost is made good by the next one."""

    account: str
    expires: int


def tick(sync: Sync) -> Iterator[Run | Reading]:
    """Take what is due. What it yields is committed, and wants to be published; sweep finds runs that were not."""
    on = schedule.rules(sync.settings)
    with sync.database.begin() as connection:
        _plan(connection, on)
        waiting = schedules.due(connection)
    for each in waiting:
        if made := sync.database.transact(partial(_take, sync, on, each)):
            yield made


def _plan(connection: Connection, on: Mapping[Kind, Rule]) -> None:
    """New accounts, kinds that were switched on or off, rules that are others than they were."""
    schedules.drop_others(connection, list(on))
    for new in schedules.unplanned(connection, {kind: str(rule) for kind, rule in on.items()}):
        rule = on[new.kind]
        schedules.plan(connection, new, str(rule), schedule.next_time(rule, new.now, new.account_id))


def _take(sync: Sync, on: Mapping[Kind, Rule], wanted: Due, connection: Connection) -> Run | Reading | None:
    taken = schedules.take(connection, wanted)
    if taken is None:
        return None
    rule = on[taken.kind]
    if isinstance(rule, Every) and taken.kind == "playback":
        next_one = schedule.next_time(rule, taken.now, taken.account_id)
        schedules.done(connection, taken, str(rule), next_one)
        return Reading(taken.account, rule.seconds)
    factor = _factor(sync, connection) if taken.kind == "incremental" else 1
    next_one = schedule.next_time(rule, taken.now, taken.account_id, factor)
    if taken.kind == "incremental" and (free := _free_at(sync, connection)):
        look_again = schedule.put_off_to(free, next_one, taken.account_id)
        until = schedule.clock(free, taken.now, sync.settings.zone)
        schedules.put_off(connection, taken, str(rule), look_again, f"put off until {until}: Spotify's limit")
        return None
    run, created = _run(sync, connection, taken)
    longer = schedule.stretched(rule, factor) if isinstance(rule, Every) and factor > 1 else None
    note = _note(rule, longer, None if created else run)
    schedules.done(connection, taken, str(rule), next_one, sync_id=run.id, stretched_to=longer, note=note)
    return run if created else None


def _run(sync: Sync, connection: Connection, taken: Due) -> tuple[Run, bool]:
    """The unfinished run, or a new one, by a key of this very time: never two of one time, whatever happens."""
    key = f"schedule {taken.kind} {taken.due_at.astimezone(UTC).isoformat()}"
    if found := runs.find(connection, taken.account_id, taken.kind, key):
        return found, False
    stall = sync.settings.stall_seconds
    made = runs.get(connection, runs.create(connection, taken.account_id, taken.kind, "beat", key, None, stall=stall))
    assert made  # noqa: S101
    return made, True


def _factor(sync: Sync, connection: Connection) -> int:
    """What a day allows is known of restricted apps alone, and roughly: some hundred calls of each family."""
    client_id = sync.settings.require_client_id()
    restricted = apps.regime(connection, client_id) == "restricted"
    budget = sync.settings.enrichment_budget if restricted else None
    spent = [Spent(ledger.used(connection, client_id, family), budget) for family in ("library", "playlists")]
    return schedule.stretch(schedule.calls_left(spent), quota_met=schedules.quota_met(connection, client_id))


def _free_at(sync: Sync, connection: Connection) -> datetime | None:
    blocks = gate.read(connection, sync.settings.require_client_id())
    return schedule.free_at({block.family: block.until for block in blocks})


def _note(rule: Rule, longer: int | None, joined: Run | None) -> str | None:
    """What a person would wonder about."""
    said = [f"joined run {joined.id}, which was not over"] if joined else []
    if isinstance(rule, Every) and longer and longer > rule.seconds:
        usual = span(rule.seconds)
        said.append(f"every {span(longer)} instead of {usual}: the day's calls would not last")
    return "; ".join(said) or None


def listed(database: Database, settings: Settings, account: str | None) -> list[dict[str, Any]]:
    """For every account and kind, also those that are off: when it comes, how often, what became of the last one."""
    on = schedule.rules(settings)
    with database.begin() as connection:
        if account:
            accounts.named(connection, account)
        rows = schedules.listed(connection, account)
    known = {(row["account"], row["kind"]): row for row in rows}
    return [
        schedule.document(row, kind, on.get(kind), known.get((row["account"], kind)))
        for row in {row["account"]: row for row in rows}.values()
        for kind in schedule.VARIABLES
    ]
