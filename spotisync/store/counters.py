"""Counters since the database was created. Totals never fall, even when history is trimmed.

Most are incremented by triggers where the state changes (migration 0005). Each increment is a row of its own, so that
transactions never wait for each other; a total is the sum of its rows, and `compact` merges them.
"""

from collections.abc import Mapping
from typing import Final

from spotisync.core.histograms import Labels
from spotisync.store.bulk import dumps
from spotisync.store.database import Connection, execute

# Arbitrary, but unique to this lock.
ADVISORY_LOCK = 7_364_920
REJECTED: Final[tuple[str, Labels]] = ("rejected_messages", ())
# Summing up to this many rows takes about a millisecond.
MAX_ROWS = 2_000


def increment(connection: Connection, increments: Mapping[tuple[str, Labels], float]) -> None:
    """Increment counters, by name and labels, in the transaction of the counted change."""
    rows = [{"name": name, "labels": labels, "value": value} for (name, labels), value in increments.items() if value]
    if rows:
        execute(
            connection,
            """INSERT INTO tallies (name, labels, value) SELECT r.name, r.labels, r.value
            FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(name text, labels text[], value float)""",
            {"rows": dumps(rows)},
        )


def read_totals(connection: Connection) -> dict[tuple[str, Labels], float]:
    """Totals by name and labels; one statement, so a concurrent `compact` does not affect them."""
    # Rounded: the last digit of a sum depends on the order of its rows, and Prometheus takes a decrease for a restart.
    rows = execute(
        connection,
        """SELECT name, labels, CAST(round(CAST(sum(value) AS numeric), 3) AS float) AS total FROM tallies
        GROUP BY name, labels""",
    )
    return {(row.name, tuple(row.labels)): row.total for row in rows}


def compact(connection: Connection, max_rows: int = MAX_ROWS) -> bool:
    """Replace rows by their sums once there are many. False: too few rows, or another process is compacting."""
    if execute(connection, "SELECT count(*) FROM tallies").scalar_one() <= max_rows:
        return False
    if not execute(connection, f"SELECT pg_try_advisory_xact_lock({ADVISORY_LOCK})").scalar_one():
        return False
    execute(
        connection,
        """WITH gone AS (DELETE FROM tallies RETURNING name, labels, value)
        INSERT INTO tallies (name, labels, value) SELECT name, labels, sum(value) FROM gone GROUP BY name, labels""",
    )
    return True
