"""Whether a database is one that spotisync can use. `spotisync db upgrade` and `spotisync doctor` both say why not."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from spotisync.store.database import READ_ONLY_CURE
from spotisync.store.engine import is_pooled

OLDEST_POSTGRES: Final = 15
"""The oldest version that `make servers` runs, and the oldest that the PostgreSQL project supports."""


@dataclass(frozen=True)
class Obstacle:
    """What is wrong, and how to fix it."""

    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.message}; {self.cure}"


_FACTS = """SELECT current_setting('server_version') AS version,
    CAST(current_setting('server_version_num') AS integer) / 10000 AS major,
    current_setting('server_encoding') AS encoding, current_database() AS database,
    quote_ident(current_user) AS role, COALESCE(quote_ident(current_schema()), 'public') AS schema,
    COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create"""


def find_obstacle(connection: Connection) -> Obstacle | None:
    """The first reason why this server or database can't be used at all."""
    found = connection.execute(text(_FACTS)).one()
    if found.major < OLDEST_POSTGRES:
        message = f"PostgreSQL {found.version} is older than {OLDEST_POSTGRES}, the oldest supported version"
        return Obstacle(message, "upgrade the server")
    if found.encoding != "UTF8":
        message = f"the database {found.database} has the encoding {found.encoding}, which can't store every name"
        return Obstacle(message, "create one with: CREATE DATABASE spotisync ENCODING 'UTF8' TEMPLATE template0")
    return None


def find_read_only(connection: Connection) -> Obstacle | None:
    """Set while the database accepts no writes. Workers wait for the end of it, as of an outage."""
    found = connection.execute(
        text("SELECT current_setting('transaction_read_only') = 'on' AS is_set, current_database() AS database")
    ).one()
    return Obstacle(f"the database {found.database} is read-only", READ_ONLY_CURE) if found.is_set else None


def find_migration_obstacle(connection: Connection) -> Obstacle | None:
    """The first reason why this session can't create or change the tables."""
    if is_pooled(connection):
        message = "migrations need a session of their own, but SPOTISYNC_DATABASE_URL leads to a pooler"
        cure = (
            "set SPOTISYNC_MIGRATION_DATABASE_URL to the address of the server itself, or SPOTISYNC_DATABASE_POOLER=0 "
            "if the pooler keeps sessions"
        )
        return Obstacle(message, cure)
    if read_only := find_read_only(connection):
        return read_only
    found = connection.execute(text(_FACTS)).one()
    if not found.may_create:
        message = f"the role {found.role} may not create tables in the schema {found.schema}"
        cure = (
            f"as an administrator, in the database {found.database}: "
            f"GRANT USAGE, CREATE ON SCHEMA {found.schema} TO {found.role}"
        )
        return Obstacle(message, cure)
    return None
