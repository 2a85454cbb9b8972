"""The learned pace of each developer account, timed by Postgres' clock, and what playback needs of it."""

from typing import Any

from spotisync.core.pace import START, LearnedRate


def read(connection: Any, developer: str, *, lock: bool = False) -> tuple[LearnedRate, float]:
    """The learned rate, and the seconds since it was changed. `lock`: until the transaction ends."""
    query = f"{_READ} FOR UPDATE" if lock else _READ
    row = connection.exec_driver_sql(query, (developer,)).one_or_none()
    if row is None:
        connection.exec_driver_sql(
            "INSERT INTO paces (developer, rate) VALUES (%s, %s) ON CONFLICT DO NOTHING", (developer, START)
        )
        row = connection.exec_driver_sql(query, (developer,)).one()
    return LearnedRate(row[0], row[1]), float(row[2])


def find(connection: Any, developer: str) -> LearnedRate:
    """The learned rate, or that at the start."""
    row = connection.exec_driver_sql(_READ, (developer,)).one_or_none()
    return LearnedRate(row[0], row[1]) if row else LearnedRate()


_READ = """SELECT rate, failed_rate, EXTRACT(epoch FROM clock_timestamp() - changed_at) FROM paces
    WHERE developer = %s"""


def replace(connection: Any, developer: str, old: LearnedRate, new: LearnedRate) -> bool:
    """Returns False if another process has replaced the old one meanwhile."""
    done = connection.exec_driver_sql(
        """UPDATE paces SET rate = %s, failed_rate = %s, changed_at = clock_timestamp()
        WHERE developer = %s AND rate = %s AND failed_rate IS NOT DISTINCT FROM %s""",
        (new.rate, new.failed, developer, old.rate, old.failed),
    )
    return bool(done.rowcount)


def count_due_reads(connection: Any, developer: str, seconds: float, *, is_default: bool) -> int:
    """Reads of plays that are due within `seconds`, of the active accounts of the developer.

    `is_default`: also of those without an app of their own.
    """
    found = connection.exec_driver_sql(
        """SELECT count(*) FROM schedules s JOIN accounts a ON a.id = s.account_id
        WHERE s.kind = 'playback' AND a.status = 'active' AND s.due_at <= now() + make_interval(secs => %s)
            AND (COALESCE(a.developer, a.client_id) = %s OR %s AND a.client_id IS NULL)""",
        (seconds, developer, is_default),
    )
    return int(found.scalar_one())
