"""Notifications in the table `notices`: found in the other tables, stored once, retried until all targets have them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from spotisync.core.apps import App
from spotisync.store.database import Connection, execute
from spotisync.store.reply_shapes import IS_OPEN, NOTICE_KEY
from spotisync.store.runs import DUE_SINCE, LIMITS_OF_RUN, UNCLAIMED
from spotisync.store.vanished import VanishedRow

Kind = Literal["failed", "needs_login", "login_ends", "waiting", "stuck", "over", "drift", "vanished"]
# An arbitrary number that no other lock in this database uses.
ADVISORY_LOCK = 7_364_921
# Longer than one attempt takes; doubled after each, up to an hour.
RETRY_SECONDS = 60
# Notifications that are older are not sent.
DAYS = 3


@dataclass(frozen=True)
class Condition:
    """A condition to notify of. `silent`: another notification covers it. `resolves`: the kind that it ends.

    `vanished`: the places that a notification of vanished music lists.
    """

    key: str
    kind: Kind
    account_id: int
    account: str
    sync_id: int | None
    silent: bool = False
    resolves: str | None = None
    vanished: Sequence[VanishedRow] = ()


@dataclass(frozen=True)
class Notification:
    """`delivered_to`: digests of the targets that have received it."""

    key: str
    kind: Kind
    title: str
    body: str
    tries: int
    delivered_to: Sequence[str]


def try_lock(connection: Connection) -> bool:
    """Lock the detection of conditions until the transaction ends; return False if another process has the lock."""
    return bool(execute(connection, f"SELECT pg_try_advisory_xact_lock({ADVISORY_LOCK})").scalar_one())


# ---- new conditions -------------------------------------------------------------------------------------------------

# Of consecutive failed runs only the first is notified, until one succeeds. Bounded, in case that everything fails:
# the newest failures, of which there are fewer between two reads.
_FAILED = """SELECT DISTINCT ON (r.account_id, r.sync_type) 'failed:' || r.id AS key, 'failed' AS kind, r.account_id,
    r.id AS sync_id, a.status = 'needs_login' AS silent
    FROM (SELECT id, account_id, sync_type FROM sync_history
        WHERE status = 'failed' AND completed_at > now() - interval '1 day' ORDER BY completed_at DESC LIMIT 1000) r
    JOIN accounts a ON a.id = r.account_id AND a.status <> 'disabled'
    WHERE NOT EXISTS (SELECT 1 FROM sync_history s WHERE s.account_id = r.account_id AND s.status = 'success'
        AND s.sync_type IN (r.sync_type, 'full') AND s.id > r.id)
    AND NOT EXISTS (SELECT 1 FROM notices n JOIN sync_history f ON f.id = n.sync_id WHERE n.kind = 'failed'
        AND n.account_id = r.account_id AND f.sync_type = r.sync_type AND n.over_at IS NULL)
    ORDER BY r.account_id, r.sync_type, r.id DESC"""
_AUTHORISED = "CAST(COALESCE(EXTRACT(epoch FROM a.authorised_at), 0) AS bigint)"
_NEEDS_LOGIN = f"""SELECT 'needs_login:' || a.id || ':' || {_AUTHORISED}, 'needs_login', a.id, CAST(NULL AS bigint),
    false FROM accounts a WHERE a.status = 'needs_login'"""
# A month before the login expires, and again three days before.
_LOGIN_ENDS = f"""SELECT 'login_ends:' || a.id || ':' || {_AUTHORISED} || ':'
    || CASE WHEN a.authorised_at < now() - interval '177 days' THEN 3 ELSE 30 END, 'login_ends', a.id, NULL, false
    FROM accounts a WHERE a.status = 'active' AND a.authorised_at < now() - interval '150 days'"""
_WAITING = f"""SELECT 'waiting:' || r.id || ':' || r.phase || ':' || r.seq, 'waiting', r.account_id, r.id, false
    FROM sync_history r WHERE r.status = 'rate_limited'
    AND (SELECT max(l.blocked_until) FROM {LIMITS_OF_RUN} AND l.blocked_until > now())
    > (SELECT max(s.updated_at) FROM sync_state s WHERE s.sync_id = r.id) + make_interval(secs => :after)"""
_STUCK = f"""SELECT 'stuck:' || r.id || ':' || r.phase || ':' || r.seq, 'stuck', r.account_id, r.id, false
    FROM sync_history r WHERE r.status IN ('pending', 'in_progress', 'rate_limited') AND {UNCLAIMED}
    AND {DUE_SINCE} < now() - make_interval(secs => :stuck)"""

# Of the whole app; stored with its first account.
_DRIFT = f"""SELECT {NOTICE_KEY}, 'drift', min(a.id), NULL, false
    FROM drift_alarms d JOIN accounts a ON COALESCE(a.client_id, :client_id) = d.client_id AND a.status <> 'disabled'
    WHERE {IS_OPEN} GROUP BY d.client_id, d.endpoint, d.key"""


def find_new(connection: Connection, default: App, after: float, stuck: float) -> list[Condition]:
    """Conditions that have no notification yet. `default`: the default app."""
    conditions = " UNION ALL ".join(
        f"({sql})" for sql in (_FAILED, _NEEDS_LOGIN, _LOGIN_ENDS, _WAITING, _STUCK, _DRIFT)
    )
    rows = execute(
        connection,
        f"""SELECT f.*, a.spotify_user_id AS account FROM ({conditions}) f JOIN accounts a ON a.id = f.account_id
        WHERE NOT EXISTS (SELECT 1 FROM notices n WHERE n.key = f.key) ORDER BY f.key""",
        {"client_id": default.client_id, "developer": default.developer, "after": after, "stuck": stuck},
    )
    return [Condition(**row) for row in rows.mappings()]


# ---- resolved conditions --------------------------------------------------------------------------------------------

_MOVED: Final = """NOT EXISTS (SELECT 1 FROM sync_history r WHERE r.id = n.sync_id
    AND r.status IN ('pending', 'in_progress', 'rate_limited') AND n.key LIKE '%:' || r.phase || ':' || r.seq)"""
_RESOLVED: Final = f"""CASE n.kind
    WHEN 'failed' THEN EXISTS (SELECT 1 FROM sync_history f JOIN sync_history s ON s.account_id = f.account_id
        AND s.sync_type IN (f.sync_type, 'full') AND s.id >= f.id AND s.status = 'success' WHERE f.id = n.sync_id)
    WHEN 'needs_login' THEN a.status = 'active'
    WHEN 'login_ends' THEN n.key NOT LIKE 'login_ends:' || a.id || ':' || {_AUTHORISED} || ':%'
    WHEN 'drift' THEN NOT EXISTS (SELECT 1 FROM drift_alarms d WHERE {NOTICE_KEY} = n.key AND {IS_OPEN})
    WHEN 'vanished' THEN n.told_at IS NOT NULL OR n.made_at < now() - interval '{DAYS} days'
    ELSE {_MOVED} END"""
# A wait that ended with the run is not worth a notification: a failure has its own. Of drift, only a key's return is.
_WORTH_NOTIFYING: Final = f"""CASE WHEN n.kind IN ('login_ends', 'vanished') THEN false
    WHEN n.kind = 'drift' THEN EXISTS (SELECT 1 FROM drift_alarms d
        WHERE {NOTICE_KEY} = n.key AND d.kind = 'missing_key' AND d.accepted_at IS NULL)
    ELSE NOT (n.kind IN ('waiting', 'stuck') AND EXISTS (
        SELECT 1 FROM sync_history r WHERE r.id = n.sync_id AND r.status IN ('failed', 'cancelled'))) END"""


def close_resolved(connection: Connection) -> list[Condition]:
    """Close the notifications of resolved conditions; return the resolutions to notify of, if the first was sent."""
    rows = execute(
        connection,
        f"""WITH resolved AS (SELECT n.key, a.spotify_user_id AS account,
                {_WORTH_NOTIFYING} AND cardinality(n.told_to) > 0 AS notify
            FROM notices n JOIN accounts a ON a.id = n.account_id
            WHERE n.over_at IS NULL AND n.kind <> 'over' AND {_RESOLVED})
        UPDATE notices n SET over_at = now(), told_at = COALESCE(n.told_at, now()) FROM resolved d
        WHERE n.key = d.key RETURNING n.key, n.kind, n.account_id, d.account, n.sync_id, d.notify""",
    )
    return [
        Condition(f"over:{row.key}", "over", row.account_id, row.account, row.sync_id, resolves=row.kind)
        for row in rows
        if row.notify
    ]


# ---- delivery -------------------------------------------------------------------------------------------------------


def add(connection: Connection, condition: Condition, title: str, body: str) -> None:
    execute(
        connection,
        """INSERT INTO notices (key, kind, account_id, sync_id, title, body, told_at)
        VALUES (:key, :kind, :account_id, :sync_id, :title, :body, CASE WHEN :silent THEN now() END)
        ON CONFLICT (key) DO NOTHING""",
        {
            "key": condition.key,
            "kind": condition.kind,
            "account_id": condition.account_id,
            "sync_id": condition.sync_id,
            "title": title,
            "body": body,
            "silent": condition.silent,
        },
    )


def claim_due(connection: Connection) -> Notification | None:
    """Claim one that is due; no other process gets it before its next attempt is due."""
    found = execute(
        connection,
        f"""UPDATE notices SET tries = tries + 1,
            wake_at = now() + make_interval(secs => LEAST(3600, {RETRY_SECONDS} * 2 ^ LEAST(tries, 10)))
        WHERE key = (SELECT key FROM notices WHERE told_at IS NULL AND wake_at <= now()
            AND made_at > now() - interval '{DAYS} days' ORDER BY made_at, key LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING key, kind, title, body, tries, told_to AS delivered_to""",
    )
    row = found.mappings().one_or_none()
    return Notification(**row) if row else None


def mark_delivered_to(connection: Connection, notification: Notification, digest: str) -> None:
    execute(
        connection,
        "UPDATE notices SET told_to = array_append(told_to, :digest) WHERE key = :key",
        {"digest": digest, "key": notification.key},
    )


def mark_delivered(connection: Connection, notification: Notification) -> None:
    execute(connection, "UPDATE notices SET told_at = now() WHERE key = :key", {"key": notification.key})
