"""What has been counted since there is a database: totals that never fall, whatever history forgets.

Most is counted by triggers, where the state changes (migration 0005). Each time is a row of its own, so that no two
transactions wait for one another, and the sum of the rows is the total; `fold` makes fewer rows of many.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, text

from spotisync.store.bulk import dumps

Labels = tuple[str, ...]
# Any number will do, as long as nobody else locks it.
ADVISORY_LOCK = 7_364_920
# So many rows are read in a millisecond.
MOST_ROWS = 2_000


def add(connection: Connection, name: str, counted: Mapping[Labels, float]) -> None:
    """In the transaction of what is counted."""
    rows = [{"labels": labels, "value": value} for labels, value in counted.items() if value]
    if rows:
        connection.execute(
            text(
                """INSERT INTO tallies (name, labels, value) SELECT :name, r.labels, r.value
                FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(labels text[], value float)"""
            ),
            {"name": name, "rows": dumps(rows)},
        )


def read_totals(connection: Connection) -> dict[tuple[str, Labels], float]:
    """By name and labels. One statement, so that a fold that is just going on changes nothing."""
    rows = connection.execute(text("SELECT name, labels, sum(value) AS total FROM tallies GROUP BY name, labels"))
    return {(row.name, tuple(row.labels)): row.total for row in rows}


def compact(connection: Connection, most: int = MOST_ROWS) -> bool:
    """Replace the rows by their sums, once there are many. False: there are few, or somebody else is doing it."""
    if connection.execute(text("SELECT count(*) FROM tallies")).scalar_one() <= most:
        return False
    if not connection.execute(text(f"SELECT pg_try_advisory_xact_lock({ADVISORY_LOCK})")).scalar_one():
        return False
    connection.execute(
        text(
            """WITH gone AS (DELETE FROM tallies RETURNING name, labels, value)
            INSERT INTO tallies (name, labels, value) SELECT name, labels, sum(value) FROM gone GROUP BY name, labels"""
        )
    )
    return True
