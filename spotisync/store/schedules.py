"""What comes by itself, and when: one row for each account and kind. Postgres' clock says what is due."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from spotisync.core.schedule import Kind


@dataclass(frozen=True)
class UnplannedEntry:
    """An account's kind that has no time yet, or one by another rule. `now` is the transaction's."""

    account_id: int
    kind: Kind
    now: datetime


@dataclass(frozen=True)
class DueEntry:
    """A time that has come."""

    account_id: int
    account: str
    kind: Kind
    due_at: datetime
    now: datetime


def find_unplanned(connection: Connection, rules: Mapping[Kind, str]) -> list[UnplannedEntry]:
    """Of active accounts; a time that has come already is not moved by a new rule."""
    rows = connection.execute(
        text(
            """SELECT a.id AS account_id, p.kind, now() AS now
            FROM accounts a CROSS JOIN unnest(CAST(:kinds AS text[]), CAST(:rules AS text[])) p(kind, rule)
            LEFT JOIN schedules s ON s.account_id = a.id AND s.kind = p.kind
            WHERE a.status = 'active' AND (s.kind IS NULL OR s.rule <> p.rule AND s.due_at > now())
            ORDER BY a.id, p.kind"""
        ),
        {"kinds": list(rules), "rules": list(rules.values())},
    )
    return [UnplannedEntry(**row._mapping) for row in rows]  # noqa: SLF001


def set_first_time(connection: Connection, new: UnplannedEntry, rule: str, due_at: datetime) -> None:
    """Note the first time by this rule. Whoever comes second, or finds the account gone, changes nothing."""
    connection.execute(
        text(
            """INSERT INTO schedules AS s (account_id, kind, rule, due_at)
            SELECT a.id, :kind, :rule, :due_at FROM accounts a WHERE a.id = :account_id FOR KEY SHARE
            ON CONFLICT (account_id, kind) DO UPDATE
                SET rule = excluded.rule, due_at = excluded.due_at, stretched_to = NULL, note = NULL
                WHERE s.rule <> excluded.rule AND s.due_at > now()"""
        ),
        {"account_id": new.account_id, "kind": new.kind, "rule": rule, "due_at": due_at},
    )


def delete_other_kinds(connection: Connection, kinds: list[Kind]) -> None:
    """Kinds that are off have no times; when they are on again they begin anew."""
    connection.execute(text("DELETE FROM schedules WHERE kind <> ALL(:kinds)"), {"kinds": kinds})


def list_due(connection: Connection) -> list[DueEntry]:
    """What may be taken. A full sync first: it does what an incremental one would."""
    rows = connection.execute(
        text(
            """SELECT s.account_id, a.spotify_user_id AS account, s.kind, s.due_at, now() AS now
            FROM schedules s JOIN accounts a ON a.id = s.account_id
            WHERE s.due_at <= now() AND a.status = 'active' ORDER BY s.kind <> 'full', s.due_at, s.account_id"""
        )
    )
    return [DueEntry(**row._mapping) for row in rows]  # noqa: SLF001


def lock_due(connection: Connection, wanted: DueEntry) -> DueEntry | None:
    """Hold this very time, and the account, until the transaction ends. None: somebody else has it, or had it.

    Never waits: whoever holds the account is about to let it go, and the next tick is seconds away.
    """
    row = connection.execute(
        text(
            """SELECT s.account_id, a.spotify_user_id AS account, s.kind, s.due_at, now() AS now
            FROM schedules s JOIN accounts a ON a.id = s.account_id
            WHERE s.account_id = :account_id AND s.kind = :kind AND s.due_at = :due_at AND s.due_at <= now()
                AND a.status = 'active' FOR NO KEY UPDATE OF a, s SKIP LOCKED"""
        ),
        {"account_id": wanted.account_id, "kind": wanted.kind, "due_at": wanted.due_at},
    ).one_or_none()
    return DueEntry(**row._mapping) if row else None  # noqa: SLF001


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
    """It was done (by this run); the next time is `due_at`."""
    connection.execute(
        text(
            """UPDATE schedules SET rule = :rule, due_at = :due_at, last_at = now(), sync_id = :sync_id,
                stretched_to = :stretched_to, note = :note WHERE account_id = :account_id AND kind = :kind"""
        ),
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
    """It was not done; the last one stays the last one."""
    connection.execute(
        text(
            """UPDATE schedules SET rule = :rule, due_at = :due_at, note = :note
            WHERE account_id = :account_id AND kind = :kind"""
        ),
        {"account_id": taken.account_id, "kind": taken.kind, "rule": rule, "due_at": due_at, "note": note},
    )


def has_recent_quota_429(connection: Connection, client_id: str) -> bool:
    """Whether in the last day Spotify has said that there were too many calls of what an incremental sync reads."""
    found = connection.execute(
        text(
            """SELECT EXISTS (SELECT 1 FROM rate_limits WHERE client_id = :client_id AND reason = 'quota'
                AND family IN ('library', 'playlists', '*') AND blocked_until > now() - interval '24 hours')"""
        ),
        {"client_id": client_id},
    )
    return bool(found.scalar_one())


def list_entries(connection: Connection, account: str | None) -> list[dict[str, Any]]:
    """Every account with each of its rows, if it has any, and what became of the last time's run."""
    rows = connection.execute(
        text(
            """SELECT a.spotify_user_id AS account, a.status AS account_status, s.kind, s.due_at, s.last_at,
                s.stretched_to, s.note, s.sync_id, r.status AS last_status, now() AS now
            FROM accounts a LEFT JOIN schedules s ON s.account_id = a.id
            LEFT JOIN sync_history r ON r.id = s.sync_id
            WHERE CAST(:account AS text) IS NULL OR a.spotify_user_id = :account ORDER BY a.id"""
        ),
        {"account": account},
    )
    return [dict(row._mapping) for row in rows]  # noqa: SLF001
