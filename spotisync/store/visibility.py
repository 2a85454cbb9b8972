"""Whether anything was committed since the last look: one cheap query instead of notifications.

Postgres commits transactions that notify one after another (a lock that is held until the WAL is flushed; before
version 19), which made 16 sessions thirteen times slower. Only a viewer's page needs to know of changes.
"""

from spotisync.store.database import Connection, execute


def read_version(connection: Connection) -> str:
    """A value that is equal as long as the same transactions are visible. Works behind a pooler and on a standby."""
    return str(execute(connection, "SELECT CAST(pg_current_snapshot() AS text)").scalar_one())
