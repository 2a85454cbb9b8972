"""Load the rows of a backup into the tables of the migrations. The backup chooses values, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import text

from spotisync.core.dump_script import SequenceValue, TableRows
from spotisync.errors import Fatal
from spotisync.store.database import Connection, execute
from spotisync.store.schema import metadata

# In the order of their foreign keys. A migration that drops a table keeps its name here, for older backups.
TABLES: Final = tuple(table.name for table in metadata.sorted_tables)
_COLUMNS: Final = """SELECT relname, array_agg(attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE relkind = 'r' AND relname = ANY(:tables) AND attnum > 0 AND NOT attisdropped
    AND relnamespace = current_schema()::regnamespace GROUP BY relname"""
_SEQUENCES: Final = """SELECT s.relname FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
    JOIN pg_class t ON t.oid = d.refobjid WHERE s.relkind = 'S' AND t.relname = ANY(:tables)
    AND t.relnamespace = current_schema()::regnamespace"""


def list_sequences(connection: Connection) -> list[str]:
    """The sequences of our tables."""
    return list(execute(connection, _SEQUENCES, {"tables": list(TABLES)}).scalars())


class TableLoader:
    """Loads rows into our tables, once each; see `empty_tables`."""

    def __init__(self, connection: Connection, columns: dict[str, set[str]], sequences: set[str]) -> None:
        self._connection = connection
        self._unloaded = columns
        self._sequences = sequences

    def load(self, rows: TableRows) -> None:
        """Raises `Fatal` if it is no table of ours, or if a row violates a rule of its table."""
        known = self._unloaded.pop(rows.table, None)
        if known is None or not known.issuperset(rows.columns):
            raise Fatal(f"the backup contains rows of another table or column than spotisync's: {rows.table}")
        names = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(rows.table), names)
        try:
            with _cursor(self._connection).copy(statement) as copy:
                for piece in rows.data:
                    copy.write(piece)
        except psycopg.Error as error:
            raise Fatal(f"rows of the table {rows.table} can't be restored: {_first_line(error)}") from None

    def set_sequence(self, value: SequenceValue) -> None:
        if value.sequence not in self._sequences:
            raise Fatal(f"the backup contains another sequence than spotisync's: {value.sequence}")
        try:
            _cursor(self._connection).execute(
                "SELECT setval(quote_ident(%s)::regclass, %s, %s)", (value.sequence, value.value, value.is_called)
            )
        except psycopg.Error as error:
            raise Fatal(f"the sequence {value.sequence} can't be restored: {_first_line(error)}") from None


@contextmanager
def empty_tables(connection: Connection) -> Iterator[TableLoader]:
    """Empty our tables and stop their triggers, which would record the restored rows as changes, for the block."""
    execute(connection, "SET LOCAL statement_timeout = 0")
    columns = {name: set(names) for name, names in execute(connection, _COLUMNS, {"tables": list(TABLES)})}
    connection.execute(text(f"TRUNCATE {', '.join(columns)}"))
    _switch_triggers(connection, columns, "DISABLE")
    yield TableLoader(connection, dict(columns), set(list_sequences(connection)))
    _switch_triggers(connection, columns, "ENABLE")


def _switch_triggers(connection: Connection, tables: dict[str, Any], state: str) -> None:
    for table in tables:  # USER: not those of foreign keys
        execute(connection, f"ALTER TABLE {table} {state} TRIGGER USER")


def _cursor(connection: Connection) -> "psycopg.Cursor[Any]":
    cursor: psycopg.Cursor[Any] = connection.connection.cursor()  # type: ignore[assignment]
    return cursor


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0]
