"""Schedules: one row per account and kind, due by the database's clock. Heartbeats: when periodic tasks last ran."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spotisync.core.apps import AppOwner
from spotisync.core.schedule import Kind
from spotisync.store.accounts import OWN_APP
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


def set_first_time(connection: Connection, new: UnplannedEntry, rule: str, due_at: datetime) -> None:
    """Store the first due time by this rule; no effect if another process did or the account was deleted."""
    execute(
        connection,
        """INSERT INTO schedules AS s (account_id, kind, rule, due_at)
        SELECT a.id, :kind, :rule, :due_at FROM accounts a WHERE a.id = :account_id FOR KEY SHARE
        ON CONFLICT (account_id, kind) DO UPDATE
            SET rule = excluded.rule, due_at = excluded.due_at, stretched_to = NULL, note = NULL
            WHERE s.rule <> excluded.rule AND s.due_at > now()""",
        {"account_id": new.account_id, "kind": new.kind, "rule": rule, "due_at": due_at},
    )


def delete_other_kinds(connection: Connection, kinds: list[Kind]) -> None:
    """Delete the rows of kinds that are switched off, so that they start afresh when switched on again."""
    execute(connection, "DELETE FROM schedules WHERE kind <> ALL(:kinds)", {"kinds": kinds})


def list_due(connection: Connection) -> list[DueEntry]:
    """Due entries, full syncs first: a full sync covers an incremental one."""
    rows = execute(
        connection,
        f"""SELECT s.account_id, a.spotify_user_id AS account, s.kind, s.due_at, now() AS now, {OWN_APP}
        FROM schedules s JOIN accounts a ON a.id = s.account_id
        WHERE s.due_at <= now() AND a.status = 'active' ORDER BY s.kind <> 'full', s.due_at, s.account_id""",
    )
    return [DueEntry(**row) for row in rows.mappings()]


def lock_due(connection: Connection, wanted: DueEntry) -> DueEntry | None:
    """Lock this entry and its account until the transaction ends. None: another process holds it or has done it.

    Skips locked rows instead of waiting, since the next tick comes within seconds.
    """
    found = execute(
        connection,
        f"""SELECT s.account_id, a.spotify_user_id AS account, s.kind, s.due_at, now() AS now, {OWN_APP}
        FROM schedules s JOIN accounts a ON a.id = s.account_id
        WHERE s.account_id = :account_id AND s.kind = :kind AND s.due_at = :due_at AND s.due_at <= now()
            AND a.status = 'active' FOR NO KEY UPDATE OF a, s SKIP LOCKED""",
        {"account_id": wanted.account_id, "kind": wanted.kind, "due_at": wanted.due_at},
    )
    row = found.mappings().one_or_none()
    return DueEntry(**row) if row else None


def mark_done(
    connection: Connection,
    taken: DueEntry,
    rule: str,
    due_at: datetime,
    *,
    sync_id: int | None = None,
    stretched_to: int | None = None,
    note: str | None = None,
) -> None:
    """Record that the entry was done, by this run if there is one; it is due next at `due_at`."""
    execute(
        connection,
        """UPDATE schedules SET rule = :rule, due_at = :due_at, last_at = now(), sync_id = :sync_id,
            stretched_to = :stretched_to, note = :note WHERE account_id = :account_id AND kind = :kind""",
        {
            "account_id": taken.account_id,
            "kind": taken.kind,
            "rule": rule,
            "due_at": due_at,
            "stretched_to": stretched_to,
            "note": note,
            "sync_id": sync_id,
        },
    )


def mark_deferred(connection: Connection, taken: DueEntry, rule: str, due_at: datetime, note: str) -> None:
    """Move the due time without a run; the last run stays the last one."""
    execute(
        connection,
        """UPDATE schedules SET rule = :rule, due_at = :due_at, note = :note
        WHERE account_id = :account_id AND kind = :kind""",
        {"account_id": taken.account_id, "kind": taken.kind, "rule": rule, "due_at": due_at, "note": note},
    )


def find_planned(connection: Connection, account_id: int, kind: Kind) -> DueEntry | None:
    """The entry of an active account, due in the future; `now` is the time at which it was last done."""
    found = execute(
        connection,
        f"""SELECT s.account_id, a.spotify_user_id AS account, s.kind, s.due_at, s.last_at AS now, {OWN_APP}
        FROM schedules s JOIN accounts a ON a.id = s.account_id WHERE s.account_id = :account_id AND s.kind = :kind
            AND s.due_at > now() AND s.last_at IS NOT NULL AND a.status = 'active'""",
        {"account_id": account_id, "kind": kind},
    )
    row = found.mappings().one_or_none()
    return DueEntry(**row) if row else None


def hasten(connection: Connection, planned: DueEntry, due_at: datetime) -> None:
    """Move a due time forward; no effect if it was done meanwhile."""
    execute(
        connection,
        """UPDATE schedules SET due_at = :due_at, stretched_to = NULL, note = NULL
        WHERE account_id = :account_id AND kind = :kind AND due_at = :planned""",
        {"due_at": due_at, "account_id": planned.account_id, "kind": planned.kind, "planned": planned.due_at},
    )


def list_entries(connection: Connection, account: str | None) -> list[dict[str, Any]]:
    """Every account with its schedules, if any, and the status of the last scheduled run."""
    rows = execute(
        connection,
        """SELECT a.spotify_user_id AS account, a.status AS account_status, s.kind, s.due_at, s.last_at,
            s.stretched_to, s.note, s.sync_id, r.status AS last_status, now() AS now,
            a.client_id AS own_client_id, a.developer AS own_developer
        FROM accounts a LEFT JOIN schedules s ON s.account_id = a.id
        LEFT JOIN sync_history r ON r.id = s.sync_id
        WHERE CAST(:account AS text) IS NULL OR a.spotify_user_id = :account ORDER BY a.id""",
        {"account": account},
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
