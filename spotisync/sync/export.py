"""Export the library and the plays of an account to files, from one snapshot."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from spotisync.core.tables import Format, Table
from spotisync.errors import Fatal
from spotisync.store import accounts, export
from spotisync.store.database import Connection, Database

ROWS_PER_PROGRESS = 1_000
# Called every ROWS_PER_PROGRESS rows with the table, the rows written and the total.
Progress = Callable[[Table, int, int], None]


def export_to_directory(
    database: Database,
    account: str | None,
    tables: list[Table],
    format_: Format,
    directory: Path,
    progress: Progress,
    *,
    removed: bool,
) -> dict[Path, int]:
    """Write one file per table; return their numbers of rows. A file is replaced once its new one is complete."""
    _create(directory)
    written = {}
    with _snapshot(database, account) as (connection, account_id):
        for table in tables:
            path = directory / f"{table}.{format_}"
            with _open_atomically(path) as file:
                written[path] = _write(connection, account_id, table, format_, file, progress, removed=removed)
    return written


def export_to_stream(
    database: Database,
    account: str | None,
    table: Table,
    format_: Format,
    file: BinaryIO,
    progress: Progress,
    *,
    removed: bool,
) -> int:
    with _snapshot(database, account) as (connection, account_id):
        return _write(connection, account_id, table, format_, file, progress, removed=removed)


@contextmanager
def _snapshot(database: Database, account: str | None) -> Iterator[tuple[Connection, int]]:
    with database.begin() as connection:
        export.begin_snapshot(connection)
        yield connection, accounts.find_account(connection, account).id


def _create(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(f"{directory} can't be created: {error.strerror}") from None


@contextmanager
def _open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary file, then rename it: an interrupted export keeps the previous file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise Fatal(f"{path} can't be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _write(
    connection: Connection,
    account_id: int,
    table: Table,
    format_: Format,
    file: BinaryIO,
    progress: Progress,
    *,
    removed: bool,
) -> int:
    total = export.count_rows(connection, table, account_id, removed=removed)
    progress(table, 0, total)
    heading = 1 if format_ == "csv" else 0
    lines = 0
    for lines, line in enumerate(export.iter_rows(connection, table, format_, account_id, removed=removed), 1):
        file.write(line)
        if lines % ROWS_PER_PROGRESS == 0:
            progress(table, lines - heading, total)
    progress(table, total, total)
    return max(0, lines - heading)
