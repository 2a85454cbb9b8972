"""Export the library and the plays of an account to files, from one snapshot."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from spotisync.core.tables import Format, Table
from spotisync.errors import Fatal
from spotisync.store import accounts, export
from spotisync.store.database import Connection, Database

ROWS_PER_PROGRESS = 1_000
# Called every ROWS_PER_PROGRESS rows with the table, the rows written and the total.
Progress = Callable[[Table, int, int], None]


class Output(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class Export:
    """An export of one account; without a name, of the only account. `formulas`: see `store.export.iter_rows`."""

    database: Database
    account: str | None
    format_: Format
    progress: Progress
    removed: bool = False
    formulas: bool = False

    def to_directory(self, tables: list[Table], directory: Path) -> dict[Path, int]:
        """Write one file per table; return their numbers of rows. A file is replaced once its new one is complete."""
        _create(directory)
        written = {}
        with self._snapshot() as (connection, account_id):
            for table in tables:
                path = directory / f"{table}.{self.format_}"
                with _open_atomically(path) as file:
                    written[path] = self._write(connection, account_id, table, file)
        return written

    def to_stream(self, table: Table, file: Output) -> int:
        with self._snapshot() as (connection, account_id):
            return self._write(connection, account_id, table, file)

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[Connection, int]]:
        with self.database.begin() as connection:
            export.begin_snapshot(connection)
            yield connection, accounts.find_account(connection, self.account).id

    def _write(self, connection: Connection, account_id: int, table: Table, file: Output) -> int:
        total = export.count_rows(connection, table, account_id, removed=self.removed)
        self.progress(table, 0, total)
        heading = 1 if self.format_ == "csv" else 0
        lines = 0
        rows = export.iter_rows(
            connection, table, self.format_, account_id, removed=self.removed, formulas=self.formulas
        )
        for lines, line in enumerate(rows, 1):
            file.write(line)
            if lines % ROWS_PER_PROGRESS == 0:
                self.progress(table, lines - heading, total)
        self.progress(table, total, total)
        return max(0, lines - heading)


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
        temporary.unlink(missing_ok=True)
        # Only its owner may read the library. An existing file is never opened: it could be a link of another user.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise Fatal(f"{path} can't be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
