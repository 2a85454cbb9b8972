"""What the tables say at this moment, for who runs it: numbers with labels, read by `/metrics`.

Accounts are called by their number in the table `accounts`: metrics travel further than a library, and a Spotify user
id is a person's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from spotisync.store.counters import Labels
from spotisync.store.runs import DUE_SINCE, UNCLAIMED

Values = dict[Labels, float]


@dataclass(frozen=True)
class Gauge:
    """`sql`: a row for each set of labels, its value last. Bind the app's client id as :client_id."""

    name: str
    help: str
    labels: Sequence[str]
    sql: str


GAUGES: Final = (
    Gauge(
        "runs_unfinished",
        "Runs that are not over, by status; rate_limited: parked until Spotify allows it.",
        ("sync_type", "status"),
        """SELECT t.sync_type, s.status, (SELECT count(*) FROM sync_history r WHERE r.status = s.status
            AND r.sync_type = t.sync_type AND r.status IN ('pending', 'in_progress', 'rate_limited'))
        FROM (VALUES ('full'), ('incremental')) t(sync_type),
            (VALUES ('pending'), ('in_progress'), ('rate_limited')) s(status)""",
    ),
    Gauge(
        "queue_age_seconds",
        "For how long the batch that has been due longest has not been taken by a worker; 0: none is due.",
        (),
        f"""SELECT COALESCE(max(GREATEST(0, EXTRACT(epoch FROM now() - {DUE_SINCE}))), 0) FROM sync_history r
        WHERE r.status IN ('pending', 'in_progress', 'rate_limited') AND {UNCLAIMED}""",
    ),
    Gauge(
        "schedule_overdue_seconds",
        "For how long what was due by the schedule has not been begun; 0: nothing is overdue.",
        (),
        """SELECT GREATEST(0, COALESCE(EXTRACT(epoch FROM now() - min(s.due_at)), 0))
        FROM schedules s JOIN accounts a ON a.id = s.account_id WHERE a.status = 'active'""",
    ),
    Gauge(
        "blocked_seconds",
        "For how long Spotify's cooldown of a family of requests still lasts; *: all requests; 0: none.",
        ("family",),
        """SELECT f.family, COALESCE((SELECT GREATEST(0, EXTRACT(epoch FROM l.blocked_until - clock_timestamp()))
            FROM rate_limits l WHERE l.client_id = :client_id AND l.family = f.family), 0)
        FROM unnest(ARRAY['library', 'playlists', 'artists', 'albums', 'player', '*']) f(family)""",
    ),
    Gauge(
        "accounts",
        "Accounts, by status.",
        ("status",),
        """SELECT s.status, count(a.id) FROM (VALUES ('active'), ('needs_login'), ('disabled')) s(status)
        LEFT JOIN accounts a USING (status) GROUP BY 1""",
    ),
    Gauge(
        "lookups_pending",
        "Artists and albums of which no more is known than what a track says: the backlog of look-ups.",
        ("entity",),
        """SELECT 'artists', count(*) FROM artists WHERE enrichment = 'stub'
        UNION ALL SELECT 'albums', count(*) FROM albums WHERE enrichment = 'stub'""",
    ),
    Gauge(
        "last_success_timestamp_seconds",
        "When the last successful sync of its type ended, by the account's number; absent: there was none.",
        ("account", "sync_type"),
        """SELECT CAST(r.account_id AS text), r.sync_type, EXTRACT(epoch FROM max(r.completed_at)) FROM sync_history r
        WHERE r.status = 'success' GROUP BY 1, 2""",
    ),
    Gauge(
        "playback_read_timestamp_seconds",
        "When recently played was last read, by the account's number; Spotify tells the last fifty plays.",
        ("account",),
        "SELECT CAST(p.account_id AS text), EXTRACT(epoch FROM p.read_at) FROM playback p WHERE p.read_at IS NOT NULL",
    ),
    Gauge(
        "notices_pending",
        "Notifications that have not reached everybody yet.",
        (),
        "SELECT count(*) FROM notices WHERE told_at IS NULL",
    ),
    Gauge(
        "last_sweep_timestamp_seconds",
        "When a sweep that beat asked for was last done: without them nothing is sent on by itself.",
        (),
        "SELECT EXTRACT(epoch FROM beat_at) FROM heartbeats WHERE name = 'sweep'",
    ),
)


def read(connection: Connection, gauge: Gauge, client_id: str) -> Values:
    rows = connection.execute(text(gauge.sql), {"client_id": client_id} if ":client_id" in gauge.sql else {})
    return {tuple(str(label) for label in labels): float(value) for *labels, value in rows}


def limit_statement_time(connection: Connection, seconds: float) -> None:
    """For the rest of this transaction: the server gives a statement up after so long."""
    connection.execute(
        text("SELECT set_config('statement_timeout', CAST(:ms AS text), true)"), {"ms": int(seconds * 1000)}
    )
