"""Connections to Postgres that behave the same, whatever its roles, databases and poolers set."""

from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url

CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    # Keepalives only test idle connections. A statement that the network has swallowed would be sent again for a
    # quarter of an hour.
    "tcp_user_timeout": 30_000,
    "application_name": "spotisync",
    "client_encoding": "UTF8",
}
# A role or database may have set each of them (ALTER ROLE … SET). They are not sent as `options` of libpq, which
# poolers refuse.
PINNED: Final = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # Longer than any batch, which Celery ends after the same time.
    "statement_timeout": "900000",
}
# The same in the other direction. A server that doesn't notice that a client's host has vanished keeps its transaction,
# with all its locks, for a quarter of an hour, and its session for two hours. Unix sockets ignore them.
CLIENT_CHECKS: Final = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# Databases of older versions may have the tables in another schema of the role's search_path.
SCHEMA: Final = """SELECT COALESCE((SELECT quote_ident(n.nspname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('sync_history')), 'public')"""
_POOLED: Final = "spotisync_pooled"
_PINNED: Final = "spotisync_pinned"


def split_pooler(url: str) -> tuple[URL, bool | None]:
    """Remove the parameter `pgbouncer` from a URL. None: find out when connected."""
    parsed = make_url(url)
    value = parsed.query.get("pgbouncer")
    return parsed.difference_update_query(["pgbouncer"]), None if value is None else value == "true"


def make_engine(url: str, *, statement_timeout: int | None = None, **options: Any) -> Engine:
    """`create_engine` with our connection settings. `statement_timeout`: in milliseconds, 0 for none."""
    address, pooled = split_pooler(url)
    pinned = PINNED if statement_timeout is None else {**PINNED, "statement_timeout": str(statement_timeout)}
    # Not imported by its name, since the instrumentation for traces replaces it in the module.
    engine = sqlalchemy.create_engine(address, connect_args=CONNECT, isolation_level="READ COMMITTED", **options)

    # First, since SQLAlchemy's own listener reads the current schema.
    @event.listens_for(engine, "connect", insert=True)
    def pin_session(connection: Any, record: Any) -> None:
        try:
            pid, schema = _execute(connection, f"SELECT pg_backend_pid(), ({SCHEMA})")
            # A pooler tells its clients a process ID of its own.
            record.info[_POOLED] = pid != connection.info.backend_pid if pooled is None else pooled
            record.info[_PINNED] = {**pinned, "search_path": schema}
            checks = {} if record.info[_POOLED] else CLIENT_CHECKS
            _execute(connection, _render_pin({**record.info[_PINNED], **checks}, local=False))
        except BaseException:
            connection.close()  # the pool does not know it yet
            raise
        if record.info[_POOLED]:
            # psycopg prepares a statement on its fifth execution, but the next transaction may be in another session.
            connection.prepare_threshold = None

    @event.listens_for(engine, "begin")
    def pin_transaction(connection: Connection) -> None:
        if is_pooled(connection):
            connection.exec_driver_sql(_render_pin(connection.info[_PINNED], local=True))

    return engine


def is_pooled(connection: Connection) -> bool:
    """Whether each transaction may be in another session. Then there is no LISTEN and no session-level lock."""
    return bool(connection.info.get(_POOLED))


def _render_pin(values: dict[str, str], *, local: bool) -> str:
    calls = (f"set_config('{name}', '{_quote(value)}', {local})" for name, value in values.items())
    return f"SELECT {', '.join(calls)}"


def _quote(value: str) -> str:
    return value.replace("'", "''").replace("%", "%%")


def _execute(connection: Any, statement: str) -> Any:
    """Run a statement outside any transaction, which would begin with the role's isolation level."""
    before = connection.autocommit
    connection.autocommit = True
    try:
        return connection.execute(statement).fetchone()
    finally:
        connection.autocommit = before
