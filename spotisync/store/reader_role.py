"""A role for dashboards: it reads what people may read, and nothing else."""

from typing import Final

from sqlalchemy import Connection, text

from spotisync.store.schema import metadata

NAME: Final = "spotisync_reader"
# Others' messages, and what a walk notes for itself.
PRIVATE: Final = {
    "waiters", "seen_tracks", "seen_nulls", "null_rows", "excess_rows", "read_rows", "staged_items",
}  # fmt: skip
# Logins are encrypted, and nobody's business all the same.
SECRET: Final = {"accounts": {"refresh_token", "access_token", "refresh_claim", "refresh_claim_until"}}
SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}


def create_or_update(connection: Connection, password: str) -> None:
    """Make the role, or give it a new password, and let it read. The password is sent as its hash: it gets logged."""
    if not _exists(connection):
        connection.execute(text(f"CREATE ROLE {NAME} LOGIN"))
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 (it is in a transaction)
    hashed = driver.pgconn.encrypt_password(password.encode(), NAME.encode(), b"scram-sha-256").decode()
    connection.exec_driver_sql(f"ALTER ROLE {NAME} LOGIN PASSWORD '{hashed}'")  # it has colons in
    for name, value in SETTINGS.items():
        connection.execute(text(f"ALTER ROLE {NAME} SET {name} = '{value}'"))
    grant_select(connection)


def grant_select(connection: Connection) -> None:
    """What may be read now, if there is such a role: tables come and go with migrations."""
    if not _exists(connection):
        return
    # Two that grant at once would meet in the catalogue, which PostgreSQL answers with an error.
    connection.execute(text("SELECT pg_advisory_xact_lock(7364921)"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {NAME}"))
    for table in metadata.sorted_tables:
        if table.name not in PRIVATE:
            connection.execute(text(f"GRANT SELECT {_columns(table.name)} ON {table.name} TO {NAME}"))


def _columns(table: str) -> str:
    secret = SECRET.get(table)
    if not secret:
        return ""
    return f"({', '.join(column.name for column in metadata.tables[table].columns if column.name not in secret)})"


def drop(connection: Connection) -> bool:
    """False: there was none. Dashboards that are connected stay so until they hang up."""
    if not _exists(connection):
        return False
    connection.execute(text(f"DROP OWNED BY {NAME}"))
    connection.execute(text(f"DROP ROLE {NAME}"))
    return True


def _exists(connection: Connection) -> bool:
    return bool(connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": NAME}).scalar())
