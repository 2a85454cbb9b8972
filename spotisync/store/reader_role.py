"""A read-only database role for dashboards, without access to tokens and internal tables."""

from typing import Final

from spotisync.store.database import Connection, execute
from spotisync.store.schema import VIEWS, metadata
from spotisync.store.time_zones import is_known

NAME: Final = "spotisync_reader"
# Task messages of callers, staging tables, sessions.
HIDDEN_TABLES: Final = {
    "waiters", "seen_tracks", "seen_nulls", "null_rows", "excess_rows", "read_rows", "staged_items",
    "pending_lookups", "ended_sessions",
}  # fmt: skip
# Tokens are encrypted, and hidden nevertheless.
HIDDEN_COLUMNS: Final = {
    "accounts": {"refresh_token", "access_token", "client_secret", "refresh_claim", "refresh_claim_until"}
}
SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}


def create_or_update(connection: Connection, password: str, zone: str) -> None:
    """Create the role or change its password and time zone, and grant SELECT.

    Sends the hash only, since statements are logged.
    """
    if not _exists(connection):
        execute(connection, f"CREATE ROLE {NAME} LOGIN")
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 (for mypy: an open transaction has one)
    hashed = driver.pgconn.encrypt_password(password.encode(), NAME.encode(), b"scram-sha-256").decode()
    connection.exec_driver_sql(f"ALTER ROLE {NAME} LOGIN PASSWORD '{hashed}'")  # text() would parse the hash's colons
    zones = {"timezone": zone} if is_known(connection, zone) else {}
    for name, value in (SETTINGS | zones).items():
        execute(connection, f"ALTER ROLE {NAME} SET {name} = '{value}'")
    grant_select(connection)


def grant_select(connection: Connection) -> None:
    """Grant SELECT on the current tables and views, if the role exists; called after each migration."""
    if not _exists(connection):
        return
    # Concurrent GRANTs on one table fail with "tuple concurrently updated".
    execute(connection, "SELECT pg_advisory_xact_lock(7364921)")
    execute(connection, f"GRANT USAGE ON SCHEMA public TO {NAME}")
    for table in metadata.sorted_tables:
        if table.name not in HIDDEN_TABLES:
            execute(connection, f"GRANT SELECT {_visible_columns(table.name)} ON {table.name} TO {NAME}")
    execute(connection, f"GRANT SELECT ON {', '.join(VIEWS)} TO {NAME}")


def _visible_columns(table: str) -> str:
    hidden = HIDDEN_COLUMNS.get(table)
    if not hidden:
        return ""
    return f"({', '.join(column.name for column in metadata.tables[table].columns if column.name not in hidden)})"


def drop(connection: Connection) -> bool:
    """Drop the role; False if it does not exist. Open sessions of the role continue until they disconnect."""
    if not _exists(connection):
        return False
    execute(connection, f"GRANT {NAME} TO CURRENT_USER")  # otherwise only a superuser may do the next
    execute(connection, f"DROP OWNED BY {NAME}")
    execute(connection, f"DROP ROLE {NAME}")
    return True


def _exists(connection: Connection) -> bool:
    return bool(execute(connection, "SELECT 1 FROM pg_roles WHERE rolname = :name", {"name": NAME}).scalar())
