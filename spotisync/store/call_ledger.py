"""Web API requests by developer account, family and minute; budgets are computed from them.

The developer account is in the column `client_id`. Rows of the last minutes are by account too, so that workers do not
contend for one row; `compact` merges them, so that a day has as many rows for ten thousand accounts as for one.
"""

from collections.abc import Mapping

from spotisync.core.requests import Family
from spotisync.store.database import Connection, execute

# Spotify's window is a rolling day; a minute counts until its last second is a day old.
DAY = "interval '24 hours 1 minute'"
KEPT = "interval '3 days'"


def record_calls(connection: Connection, developer: str, account_id: int, calls: Mapping[Family, int]) -> None:
    """Add requests. Call it last in a transaction: the workers of an account contend for its row."""
    rows = [
        {"client_id": developer, "family": family, "account_id": account_id, "calls": number}
        for family, number in sorted(calls.items())
        if number
    ]
    if rows:
        execute(
            connection,
            """INSERT INTO call_ledger AS l (client_id, family, minute, account_id, calls)
            VALUES (:client_id, :family, date_trunc('minute', clock_timestamp()), :account_id, :calls)
            ON CONFLICT (client_id, family, minute, account_id) DO UPDATE SET calls = l.calls + excluded.calls""",
            rows,
        )


def count_last_day(connection: Connection, developer: str, family: str) -> int:
    """Count the requests of a family in the last 24 hours."""
    found = execute(connection, _USED, {"client_id": developer, "family": family})
    return int(found.scalar_one())


_USED = f"""SELECT GREATEST(0, COALESCE(sum(calls), 0)) FROM call_ledger
    WHERE client_id = :client_id AND family = :family AND minute > now() - {DAY}"""


def compact(connection: Connection, rows: int = 20_000) -> int:
    """Merge up to `rows` rows of minutes that are over; return how many. A total is the same before and after."""
    return int(execute(connection, _COMPACT, {"rows": rows}).scalar_one())


# The rows are inserted in order, so that concurrent sweeps wait for each other without a deadlock.
_COMPACT = """WITH merged AS (
        DELETE FROM call_ledger WHERE (client_id, family, minute, account_id) IN (
            SELECT client_id, family, minute, account_id FROM call_ledger
            WHERE account_id <> 0 AND minute < now() - interval '2 minutes'
            ORDER BY minute LIMIT :rows FOR UPDATE SKIP LOCKED)
        RETURNING client_id, family, minute, calls),
    inserted AS (
        INSERT INTO call_ledger AS l (client_id, family, minute, account_id, calls)
        SELECT client_id, family, minute, 0, sum(calls) FROM merged GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (client_id, family, minute, account_id) DO UPDATE SET calls = l.calls + excluded.calls)
    SELECT count(*) FROM merged"""


def trim(connection: Connection, rows: int) -> int:
    """Delete up to `rows` rows that are too old to count."""
    return execute(
        connection,
        f"""DELETE FROM call_ledger WHERE (client_id, family, minute, account_id) IN (
            SELECT client_id, family, minute, account_id FROM call_ledger WHERE minute < now() - {KEPT}
            LIMIT :rows FOR UPDATE SKIP LOCKED)""",
        {"rows": rows},
    ).rowcount
