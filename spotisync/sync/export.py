"""Export the library and the plays of an account to files, from one snapshot."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from spotisync.core.tables import Format, Table
from spotisync.store import accounts, export
from spotisync.store.database import Connection, Database
from spotisync.sync import parquet
from spotisync.sync.output_files import Output, create_directory, open_atomically

ROWS_PER_PROGRESS = 1_000
# Called every ROWS_PER_PROGRESS rows with the table, the rows written and the total.
Progress = Callable[[Table, int, int], None]


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
        self._check_format()
        create_directory(directory)
        written = {}
        with self._snapshot() as (connection, account_id):
            for table in tables:
                path = directory / f"{table}.{self.format_}"
                with open_atomically(path) as file:
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

    def _check_format(self) -> None:
        """Refuse the format before a directory or a file is created."""
        if self.format_ == "parquet":
            parquet.require_pyarrow()

    def _write(self, connection: Connection, account_id: int, table: Table, file: Output) -> int:
        total = export.count_rows(connection, table, account_id, removed=self.removed)
        self.progress(table, 0, total)
        rows = 0
        for rows in self._write_rows(connection, account_id, table, file):
            self.progress(table, rows, total)
        self.progress(table, rows, total)
        return rows

    def _write_rows(self, connection: Connection, account_id: int, table: Table, file: Output) -> Iterator[int]:
        """Yield the number of rows written, from time to time and at the end."""
        # After a failed write, the traceback keeps an unfinished `COPY` open, and the rollback would wait for its end.
        if self.format_ == "parquet":
            columns = export.get_columns(connection, table, account_id)
            with closing(export.iter_values(connection, table, account_id, removed=self.removed)) as values:
                yield from parquet.write_groups(file, columns, values)
            return
        heading = 1 if self.format_ == "csv" else 0
        lines = 0
        rows = export.iter_rows(
            connection, table, self.format_, account_id, removed=self.removed, formulas=self.formulas
        )
        with closing(rows):
            for lines, line in enumerate(rows, 1):
                file.write(line)
                if lines % ROWS_PER_PROGRESS == 0:
                    yield lines - heading
        yield max(0, lines - heading)
