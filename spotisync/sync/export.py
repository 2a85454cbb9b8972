"""The library and the plays of an account into files, all of them of one moment."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from spotisync.core.tables import Format, Table
from spotisync.errors import Fatal
from spotisync.store import accounts, export
from spotisync.store.database import Connection, Database

TOLD_EACH = 1_000
# Told now and then: of which table, rows that are out, and rows that there are.
Tell = Callable[[Table, int, int], None]


def export_to_directory(
    database: Database,
    account: str | None,
    tables: list[Table],
    format_: Format,
    directory: Path,
    tell: Tell,
    *,
    removed: bool,
) -> dict[Path, int]:
    """One file a table; returns how many rows each holds. A file is replaced when its new one is whole, not before."""
    _make(directory)
    written = {}
    with _frozen(database, account) as (connection, account_id):
        for table in tables:
            path = directory / f"{table}.{format_}"
            with _whole(path) as file:
                written[path] = _write(connection, account_id, table, format_, file, tell, removed=removed)
    return written


def export_to_stream(
    database: Database, account: str | None, table: Table, format_: Format, file: BinaryIO, tell: Tell, *, removed: bool
) -> int:
    with _frozen(database, account) as (connection, account_id):
        return _write(connection, account_id, table, format_, file, tell, removed=removed)


@contextmanager
def _frozen(database: Database, account: str | None) -> Iterator[tuple[Connection, int]]:
    with database.begin() as connection:
        export.begin_snapshot(connection)
        yield connection, accounts.find_account(connection, account).id


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(f"{directory} can't be made: {error.strerror}") from None


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Aside, then renamed: whoever stops it half-way leaves the last export as it was."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            yield file
        aside.replace(path)
    except OSError as error:
        raise Fatal(f"{path} can't be written: {error.strerror}") from None
    finally:
        aside.unlink(missing_ok=True)


def _write(
    connection: Connection,
    account_id: int,
    table: Table,
    format_: Format,
    file: BinaryIO,
    tell: Tell,
    *,
    removed: bool,
) -> int:
    total = export.count_rows(connection, table, account_id, removed=removed)
    tell(table, 0, total)
    heading = 1 if format_ == "csv" else 0
    lines = 0
    for lines, line in enumerate(export.iter_rows(connection, table, format_, account_id, removed=removed), 1):
        file.write(line)
        if lines % TOLD_EACH == 0:
            tell(table, lines - heading, total)
    tell(table, total, total)
    return max(0, lines - heading)
