"""Schedules: one row per account and kind, due by the database's clock. Heartbeats: when periodic tasks last ran."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from spotisync.core.apps import AppOwner
from spotisync.core.rhythm import Rhythm
from spotisync.core.schedule import Kind
from spotisync.store.accounts import OWN_APP
from spotisync.store.bulk import dumps
from spotisync.store.database import Connection, execute

# The minimum time between two writes of one heartbeat.
HEARTBEAT_SECONDS = 3


@dataclass(frozen=True)
class UnplannedEntry:
    """A kind that has no due time for an account yet, or one by an outdated rule. `now` is the transaction's."""

    account_id: int
    kind: Kind
    now: datetime


@dataclass(frozen=True)
class DueEntry(AppOwner):
    """A schedule whose due time has passed."""

    account_id: int
    account: str
    kind: Kind
    due_at: datetime
    now: datetime
    rhythm: Rhythm | None = None


@dataclass(frozen=True)
class TakenEntry:
    """What became of a due entry. Not `is_done`: it was deferred, and the last run stays the last one."""

    account_id: int
    due_at: datetime
    is_done: bool
    sync_id: int | None
    stretched_to: int | None
    note: str | None


def find_unplanned(connection: Connection, rules: Mapping[Kind, str]) -> list[UnplannedEntry]:
    """Entries to plan, of active accounts. A due time that has passed is not moved by a new rule."""
    rows = execute(
        connection,
        """SELECT a.id AS account_id, p.kind, now() AS now
        FROM accounts a CROSS JOIN unnest(CAST(:kinds AS text[]), CAST(:rules AS text[])) p(kind, rule)
        LEFT JOIN schedules s ON s.account_id = a.id AND s.kind = p.kind
        WHERE a.status = 'active' AND (s.kind IS NULL OR s.rule <> p.rule AND s.due_at > now())
        ORDER BY a.id, p.kind""",
        {"kinds": list(rules), "rules": list(rules.values())},
    )
    return [UnplannedEntry(**row) for row in rows.mappings()]


def set_first_times(
    connection: Connection, rules: Mapping[Kind, str], times: Mapping[UnplannedEntry, datetime]
) -> None:
    """Store first due times by these rules; no effect where another process did or the account was deleted."""
    rows = [
        {"account_id": new.account_id, "kind": new.kind, "rule": rules[new.kind], "due_at": due_at}
        for new, due_at in times.items()
    ]
    if not rows:
        return
    execute(
        connection,
        """INSERT INTO schedules AS s (account_id, kind, rule, due_at)
        SELECT a.id, n.kind, n.rule, n.due_at FROM jsonb_to_recordset(CAST(:rows AS jsonb))
            AS n(account_id bigint, kind text, rule text, due_at timestamptz)
            JOIN accounts a ON a.id = n.account_id ORDER BY a.id, n.kind FOR KEY SHARE OF a
        ON CONFLICT (account_id, kind) DO UPDATE
            SET rule = excluded.rule, due_at = excluded.due_at, stretched_to = NULL, note = NULL
            WHERE s.rule <> excluded.rule AND s.due_at > now()""",
        {"rows": dumps(rows)},
    )


def delete_other_kinds(connection: Connection, kinds: list[Kind]) -> None:
    """Delete the rows of kinds that are switched off, so that they start afresh when switched on again."""
    execute(connection, "DELETE FROM schedules WHERE kind <> ALL(:kinds)", {"kinds": kinds})


_ENTRY = f"""SELECT s.account_id, a.spotify_user_id AS account, s.kind, s.due_at, %s AS now, {OWN_APP},
    h.busy_hours, h.seconds_per_play, h.active_at, h.known_since
    FROM schedules s JOIN accounts a ON a.id = s.account_id LEFT JOIN rhythms h ON h.account_id = a.id"""


def _read_entry(row: RowMapping) -> DueEntry:
    values = dict(row)
    rhythm = {name: values.pop(name) for name in ("busy_hours", "seconds_per_play", "active_at", "known_since")}
    return DueEntry(**values, rhythm=Rhythm(**rhythm) if rhythm["known_since"] else None)


def lock_due(connection: Connection, kind: Kind, limit: int) -> list[DueEntry]:
    """Lock up to `limit` due entries and their accounts until the transaction ends.

    Skips locked rows instead of waiting: another tick has them, or the next one comes within seconds.
    """
    rows = execute(
        connection,
        f"""{_ENTRY % "now()"} WHERE s.kind = :kind AND s.due_at <= now() AND a.status = 'active'
        ORDER BY s.due_at, s.account_id LIMIT :limit FOR NO KEY UPDATE OF a, s SKIP LOCKED""",
        {"kind": kind, "limit": limit},
    )
    return [_read_entry(row) for row in rows.mappings()]


def save_plans(connection: Connection, kind: Kind, rule: str, taken: Sequence[TakenEntry]) -> None:
    """Record what became of locked entries, and when they are due next."""
    if not taken:
        return
    execute(
        connection,
        """UPDATE schedules s SET rule = :rule, due_at = t.due_at, note = t.note,
            last_at = CASE WHEN t.is_done THEN now() ELSE s.last_at END,
            sync_id = CASE WHEN t.is_done THEN t.sync_id ELSE s.sync_id END,
            stretched_to = CASE WHEN t.is_done THEN t.stretched_to ELSE s.stretched_to END
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t(account_id bigint, due_at timestamptz, is_done boolean,
            sync_id bigint, stretched_to integer, note text)
        WHERE s.account_id = t.account_id AND s.kind = :kind""",
        {"rule": rule, "kind": kind, "rows": dumps([vars(each) for each in taken])},
    )


def find_planned(connection: Connection, account_id: int, kind: Kind) -> DueEntry | None:
    """The entry of an active account, due in the future; `now` is the time at which it was last done."""
    found = execute(
        connection,
        f"""{_ENTRY % "s.last_at"} WHERE s.account_id = :account_id AND s.kind = :kind
            AND s.due_at > now() AND s.last_at IS NOT NULL AND a.status = 'active'""",
        {"account_id": account_id, "kind": kind},
    )
    row = found.mappings().one_or_none()
    return _read_entry(row) if row else None


def hasten(connection: Connection, planned: DueEntry, due_at: datetime) -> None:
    """Move a due time forward; no effect if it was done meanwhile."""
    execute(
        connection,
        """UPDATE schedules SET due_at = :due_at, stretched_to = NULL, note = NULL
        WHERE account_id = :account_id AND kind = :kind AND due_at = :planned""",
        {"due_at": due_at, "account_id": planned.account_id, "kind": planned.kind, "planned": planned.due_at},
    )


def list_entries(connection: Connection, account: str | None) -> list[dict[str, Any]]:
    """This account, or each one, with its schedules, if any, and the status of the last scheduled run."""
    return _list_entries(connection, "a.spotify_user_id = :account" if account else "true", {"account": account})


def list_entries_of(connection: Connection, account_ids: Sequence[int]) -> list[dict[str, Any]]:
    return _list_entries(connection, "a.id = ANY(:ids)", {"ids": list(account_ids)})


def _list_entries(connection: Connection, condition: str, bound: dict[str, Any]) -> list[dict[str, Any]]:
    rows = execute(
        connection,
        f"""SELECT a.spotify_user_id AS account, a.status AS account_status, s.kind, s.due_at, s.last_at,
            s.stretched_to, s.note, s.sync_id, r.status AS last_status, now() AS now,
            a.client_id AS own_client_id, a.developer AS own_developer
        FROM accounts a LEFT JOIN schedules s ON s.account_id = a.id
        LEFT JOIN sync_history r ON r.id = s.sync_id
        WHERE {condition} ORDER BY a.id""",
        bound,
    )
    return [dict(row) for row in rows.mappings()]


# ---- heartbeats: they distinguish a schedule without work from one that is not running -------------------------------


def record_heartbeat(connection: Connection, name: str) -> None:
    execute(
        connection,
        f"""INSERT INTO heartbeats AS h (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET beat_at = now()
        WHERE h.beat_at < now() - interval '{HEARTBEAT_SECONDS} seconds'""",
        {"name": name},
    )


def get_last_heartbeat(connection: Connection, name: str) -> datetime | None:
    found: datetime | None = execute(
        connection, "SELECT beat_at FROM heartbeats WHERE name = :name", {"name": name}
    ).scalar_one_or_none()
    return found
