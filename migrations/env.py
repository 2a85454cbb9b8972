"""Alembic environment. `spotisync db upgrade` passes a connection; plain `alembic` connects by the settings."""

from alembic import context
from sqlalchemy import Connection, text

from spotisync.settings import settings
from spotisync.store.engine import make_engine
from spotisync.store.schema import metadata

# Concurrent migrations wait for each other. The number is arbitrary, but unique to this lock.
ADVISORY_LOCK = 7_364_919


def run(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
    connection.commit()
    try:
        context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
        with context.begin_transaction():
            # Statements on a table queue behind a migration that waits for its lock. `store/migrate.py` tries again.
            connection.execute(text("SET LOCAL lock_timeout = '3s'"))
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})"))
        connection.commit()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with make_engine(settings().migration_database, statement_timeout=0).connect() as connection:
        run(connection)
