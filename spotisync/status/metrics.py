"""Gauges read from the tables for `/metrics`.

Accounts are labelled by their id in the table `accounts`, not by the Spotify user id: metrics are often stored outside
and a user id is personal data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from spotisync.core.histograms import Labels
from spotisync.store.accounts import DEVELOPER
from spotisync.store.database import Connection, execute
from spotisync.store.runs import DUE_SINCE, UNCLAIMED

Values = dict[Labels, float]
# Accounts of a metric by account: of more, those with the oldest times, which are the ones to alert on.
MOST_ACCOUNTS: Final = 1000


@dataclass(frozen=True)
class Gauge:
    """`sql` returns one row per set of labels, the value last. It may use :developer, that of the default app."""

    name: str
    help: str
    labels: Sequence[str]
    sql: str


GAUGES: Final = (
    Gauge(
        "runs_unfinished",
        "Unfinished runs by status; rate_limited: parked until Spotify's limit expires.",
        ("sync_type", "status"),
        """SELECT t.sync_type, s.status, (SELECT count(*) FROM sync_history r WHERE r.status = s.status
            AND r.sync_type = t.sync_type AND r.status IN ('pending', 'in_progress', 'rate_limited'))
        FROM (VALUES ('full'), ('incremental')) t(sync_type),
            (VALUES ('pending'), ('in_progress'), ('rate_limited')) s(status)""",
    ),
    Gauge(
        "queue_age_seconds",
        "Seconds since the oldest due batch became due without a worker taking it; 0: none is due.",
        (),
        f"""SELECT COALESCE(max(GREATEST(0, EXTRACT(epoch FROM now() - {DUE_SINCE}))), 0) FROM sync_history r
        WHERE r.status IN ('pending', 'in_progress', 'rate_limited') AND {UNCLAIMED}""",
    ),
    Gauge(
        "schedule_overdue_seconds",
        "Seconds since the oldest due schedule entry became due without being started; 0: none is overdue.",
        (),
        """SELECT GREATEST(0, COALESCE(EXTRACT(epoch FROM now() - min(s.due_at)), 0))
        FROM schedules s JOIN accounts a ON a.id = s.account_id WHERE a.status = 'active'""",
    ),
    Gauge(
        "blocked_seconds",
        "Seconds left of Spotify's longest cooldown of an app in use, by family of requests; *: all; 0: no cooldown.",
        ("family",),
        f"""SELECT f.family, COALESCE((SELECT GREATEST(0, EXTRACT(epoch FROM max(l.blocked_until) - clock_timestamp()))
            FROM rate_limits l WHERE l.family = f.family AND l.reason <> 'manual' AND (l.client_id = :developer
                OR l.client_id IN (SELECT {DEVELOPER} FROM accounts a WHERE a.status <> 'disabled'))), 0)
        FROM unnest(ARRAY['library', 'playlists', 'artists', 'albums', 'player', '*']) f(family)""",
    ),
    Gauge(
        "accounts",
        "Accounts by status.",
        ("status",),
        """SELECT s.status, count(a.id) FROM (VALUES ('active'), ('needs_login'), ('disabled')) s(status)
        LEFT JOIN accounts a USING (status) GROUP BY 1""",
    ),
    Gauge(
        "lookups_pending",
        "Artists and albums that have not been looked up yet.",
        ("entity",),
        """SELECT 'artists', count(*) FROM artists WHERE enrichment = 'stub'
        UNION ALL SELECT 'albums', count(*) FROM albums WHERE enrichment = 'stub'""",
    ),
    Gauge(
        "last_success_timestamp_seconds",
        "When the last successful sync of each type ended, by account id; absent: none, or the account is disabled.",
        ("account", "sync_type"),
        f"""SELECT CAST(id AS text), sync_type, EXTRACT(epoch FROM completed_at) FROM (
            SELECT id, sync_type, completed_at, dense_rank() OVER (ORDER BY newest, id) AS place FROM (
                SELECT a.id, t.sync_type, r.completed_at, max(r.completed_at) OVER (PARTITION BY a.id) AS newest
                FROM accounts a CROSS JOIN (VALUES ('full'), ('incremental')) t(sync_type)
                    CROSS JOIN LATERAL (SELECT h.completed_at FROM sync_history h WHERE h.account_id = a.id
                        AND h.sync_type = t.sync_type AND h.status = 'success' ORDER BY h.id DESC LIMIT 1) r
                WHERE a.status <> 'disabled') runs) ranked
        WHERE place <= {MOST_ACCOUNTS}""",
    ),
    Gauge(
        "playback_read_timestamp_seconds",
        "When recently played tracks were last read, by account id; absent: never, or the account is disabled.",
        ("account",),
        f"""SELECT CAST(p.account_id AS text), EXTRACT(epoch FROM p.read_at) FROM playback p
        JOIN accounts a ON a.id = p.account_id AND a.status <> 'disabled' WHERE p.read_at IS NOT NULL
        ORDER BY p.read_at, p.account_id LIMIT {MOST_ACCOUNTS}""",
    ),
    Gauge(
        "notices_pending",
        "Notifications not yet delivered to all targets.",
        (),
        "SELECT count(*) FROM notices WHERE told_at IS NULL",
    ),
    Gauge(
        "last_sweep_timestamp_seconds",
        "When the last sweep sent by beat ran; without sweeps, parked and lost runs do not continue.",
        (),
        "SELECT EXTRACT(epoch FROM beat_at) FROM heartbeats WHERE name = 'sweep'",
    ),
)


def read_gauge(connection: Connection, gauge: Gauge, developer: str) -> Values:
    rows = execute(connection, gauge.sql, {"developer": developer} if ":developer" in gauge.sql else {})
    return {tuple(str(label) for label in labels): float(value) for *labels, value in rows}


def limit_statement_time(connection: Connection, seconds: float) -> None:
    """Set statement_timeout for the rest of this transaction."""
    execute(connection, "SELECT set_config('statement_timeout', CAST(:ms AS text), true)", {"ms": int(seconds * 1000)})
