"""The keys and statuses of Spotify's replies by app and endpoint, and the alarms when they change."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from spotisync.core.regimes import Regime
from spotisync.core.reply_shapes import alternatives_of, is_known_status
from spotisync.core.requests import Kind
from spotisync.store.database import Connection, execute

AlarmKind = Literal["missing_key", "status", "regime"]
STATUSES_KEPT = "30 days"
KEYS_KEPT = "180 days"
# An unknown status or a change of the regime is reported for this long after it was last seen.
REPORTED_FOR = "7 days"
# Identifies an alarm in the table of notifications: one that opens again is another one.
NOTICE_KEY = """'drift:' || d.client_id || ':' || d.endpoint || ':' || d.key || ':'
    || CAST(EXTRACT(epoch FROM d.since) * 1000 AS bigint)"""
IS_OPEN = "d.ended_at IS NULL AND d.accepted_at IS NULL"


@dataclass(frozen=True)
class DriftAlarm:
    """A change of Spotify's replies. `key`: what is missing, the status, or the two regimes.

    `endpoint`: a kind of request, `*` for the regime.
    """

    kind: AlarmKind
    endpoint: str
    key: str
    since: datetime
    notice_key: str


# ---- keys -----------------------------------------------------------------------------------------------------------


def record_keys(connection: Connection, client_id: str, endpoint: Kind, keys: Collection[str]) -> None:
    """Store keys as seen. Sorted, so that two processes can't deadlock."""
    if keys:
        execute(
            connection,
            """INSERT INTO reply_shapes AS s (client_id, endpoint, key)
            SELECT :client_id, :endpoint, k FROM unnest(CAST(:keys AS text[])) k
            ON CONFLICT (client_id, endpoint, key) DO UPDATE SET last_seen_at = now()
            WHERE s.last_seen_at < now() - interval '12 hours'""",
            {"client_id": client_id, "endpoint": endpoint, "keys": sorted(keys)},
        )


def open_alarms(connection: Connection, client_id: str, endpoint: Kind, missing: Collection[str]) -> list[str]:
    """Open the alarms of missing keys that earlier replies had. Returns the keys of new alarms."""
    return [
        name
        for name in sorted(missing)
        if _was_seen(connection, client_id, endpoint, name)
        and _open(connection, client_id, endpoint, "missing_key", name)
    ]


def _was_seen(connection: Connection, client_id: str, endpoint: Kind, name: str) -> bool:
    found = execute(
        connection,
        """SELECT 1 FROM reply_shapes WHERE client_id = :client_id AND endpoint = :endpoint AND key = ANY(:keys)
        LIMIT 1""",
        {"client_id": client_id, "endpoint": endpoint, "keys": alternatives_of(name)},
    )
    return found.one_or_none() is not None


def end_alarms(connection: Connection, client_id: str, endpoint: Kind, returned: Collection[str]) -> list[str]:
    """End the alarms of keys that a reply has again. Returns their keys."""
    if not returned:
        return []
    ended = execute(
        connection,
        """UPDATE drift_alarms SET ended_at = now() WHERE client_id = :client_id AND endpoint = :endpoint
        AND key = ANY(:keys) AND kind = 'missing_key' AND ended_at IS NULL RETURNING key""",
        {"client_id": client_id, "endpoint": endpoint, "keys": sorted(returned)},
    )
    return sorted(ended.scalars())


def list_missing(connection: Connection, client_id: str) -> set[tuple[str, str]]:
    """Endpoint and key of the alarms that a reply could end; those that a person accepted included."""
    rows = execute(
        connection,
        """SELECT endpoint, key FROM drift_alarms WHERE client_id = :client_id AND kind = 'missing_key'
        AND ended_at IS NULL""",
        {"client_id": client_id},
    )
    return {(row.endpoint, row.key) for row in rows}


# ---- alarms ---------------------------------------------------------------------------------------------------------


def _open(connection: Connection, client_id: str, endpoint: str, kind: AlarmKind, key: str) -> bool:
    """Open an alarm, or extend an open one. Returns whether it is new."""
    found = execute(
        connection,
        """INSERT INTO drift_alarms AS d (client_id, endpoint, key, kind) VALUES (:client_id, :endpoint, :key, :kind)
        ON CONFLICT (client_id, endpoint, key) DO UPDATE SET last_seen_at = now(), ended_at = NULL,
            since = CASE WHEN d.ended_at IS NULL THEN d.since ELSE now() END,
            accepted_at = CASE WHEN d.ended_at IS NULL THEN d.accepted_at END
        RETURNING since = now()""",
        {"client_id": client_id, "endpoint": endpoint, "key": key, "kind": kind},
    )
    return bool(found.scalar_one())


def open_regime_alarm(connection: Connection, client_id: str, old: Regime, new: Regime) -> None:
    """Report that the app's regime has changed."""
    _open(connection, client_id, "*", "regime", f"{old} to {new}")


def list_open(connection: Connection, client_ids: Collection[str]) -> list[DriftAlarm]:
    rows = execute(
        connection,
        f"""SELECT kind, endpoint, key, since, {NOTICE_KEY} AS notice_key FROM drift_alarms d
        WHERE client_id = ANY(:client_ids) AND {IS_OPEN} ORDER BY kind, endpoint, key""",
        {"client_ids": list(client_ids)},
    )
    return [DriftAlarm(**row) for row in rows.mappings()]


def is_frozen(connection: Connection, client_id: str, name: str) -> bool:
    """Whether nothing may be removed from the list because a key that the parser needs is missing from its replies."""
    found = execute(
        connection,
        f"""SELECT EXISTS (SELECT 1 FROM drift_alarms d WHERE client_id = :client_id AND endpoint = :name
        AND kind = 'missing_key' AND {IS_OPEN})""",
        {"client_id": client_id, "name": name},
    )
    return bool(found.scalar_one())


def accept(connection: Connection, client_ids: Collection[str]) -> int:
    """Record that a person accepts the replies as they are: open alarms are no longer reported and freeze nothing.

    A key that returns and goes missing again is another alarm.
    """
    accepted = execute(
        connection,
        f"UPDATE drift_alarms d SET accepted_at = now() WHERE client_id = ANY(:client_ids) AND {IS_OPEN}",
        {"client_ids": list(client_ids)},
    )
    return accepted.rowcount


# ---- statuses -------------------------------------------------------------------------------------------------------


def record_statuses(connection: Connection, client_id: str, counts: Mapping[tuple[Kind, int], int]) -> None:
    """Add replies by endpoint and status. Late in a transaction, because workers contend for the rows of a day."""
    counted = sorted((endpoint, status, replies) for (endpoint, status), replies in counts.items() if replies)
    if not counted:
        return
    execute(
        connection,
        """INSERT INTO reply_statuses AS s (client_id, endpoint, day, status, replies)
        VALUES (:client_id, :endpoint, CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date), :status, :replies)
        ON CONFLICT (client_id, endpoint, day, status) DO UPDATE
            SET replies = s.replies + excluded.replies, last_at = clock_timestamp()""",
        [
            {"client_id": client_id, "endpoint": endpoint, "status": status, "replies": replies}
            for endpoint, status, replies in counted
        ],
    )
    for endpoint, status, _ in counted:
        if not is_known_status(status):
            _open(connection, client_id, endpoint, "status", str(status))


# The newest reply to a batch look-up in the last day was a refusal.
LOOKUPS_REFUSED = """COALESCE((SELECT max(last_at) FILTER (WHERE status = 403)
        > GREATEST(max(last_at) FILTER (WHERE status = 200), now() - interval '1 day') FROM reply_statuses
    WHERE client_id = :id AND endpoint IN ('artists', 'albums')
        AND day >= CAST(now() AT TIME ZONE 'UTC' AS date) - 1), false)"""


# ---- trimming -------------------------------------------------------------------------------------------------------


def trim(connection: Connection) -> None:
    """Delete old statuses and keys; end the alarms that no reply ends."""
    execute(connection, f"DELETE FROM reply_statuses WHERE day < CAST(now() - interval '{STATUSES_KEPT}' AS date)")
    execute(connection, f"DELETE FROM reply_shapes WHERE last_seen_at < now() - interval '{KEYS_KEPT}'")
    execute(
        connection,
        f"""UPDATE drift_alarms SET ended_at = now() WHERE kind <> 'missing_key' AND ended_at IS NULL
        AND last_seen_at < now() - interval '{REPORTED_FOR}'""",
    )
