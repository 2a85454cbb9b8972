"""Restore the rows of a backup, all or none."""

from collections.abc import Callable, Iterable

from spotisync.core.dump_script import SequenceValue, TableRows
from spotisync.store import restore
from spotisync.store.database import Database


def restore_rows(
    database: Database, items: Iterable[TableRows | SequenceValue], on_table: Callable[[str], None]
) -> None:
    """Replace the contents of all our tables. Raises `Fatal` if the backup contains anything else or invalid rows."""
    with database.begin() as connection, restore.empty_tables(connection) as loader:
        for item in items:
            if isinstance(item, TableRows):
                on_table(item.table)
                loader.load(item)
            else:
                loader.set_sequence(item)
