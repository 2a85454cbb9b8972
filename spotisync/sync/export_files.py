"""Files of another spotisync's export on disk (a directory, a zip file or a single file), read row by row."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from spotisync.core import exported_rows
from spotisync.core.exported_rows import SUFFIXES, ImportedTable
from spotisync.core.streaming_history import is_history_name
from spotisync.errors import Fatal
from spotisync.sync import parquet
from spotisync.sync.archives import READ_ERRORS, Entry, FileWalk, is_zip

MAX_LINE: Final = 1 << 20  # characters; a real row has less than 10,000
NAMES: Final = {f"{table}{suffix}" for table in ("plays", "saved_tracks") for suffix in SUFFIXES}
NumberedRow = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class ExportFile:
    """A file of an export. Its rows come with their place in the file, such as `line 3`."""

    entry: Entry
    table: ImportedTable

    def parse(self, parse_row: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
        """Yield the parsed rows. Raises `Fatal` with the file and the line of the first invalid one."""
        try:
            for place, row in _read(self.entry):
                yield _parse(parse_row, place, row)
        except ValueError as error:
            raise _invalid(self.entry, error) from None


@dataclass(frozen=True)
class ExportArchive:
    """The files of an export that are imported, and the names of the others."""

    files: list[ExportFile]
    left_out: list[str]


def is_export(path: Path) -> bool:
    """Whether to import a path as an export. Raises `Fatal` if it also contains files of a streaming history."""
    if path.suffix.casefold() in SUFFIXES:
        return path.is_file()
    with ExitStack() as stack:
        entries = FileWalk(path, stack).entries() if path.is_dir() or is_zip(path) else ()
        names = [entry.basename for entry in entries]
    ours, history = [name for name in names if name in NAMES], [name for name in names if is_history_name(name)]
    if ours and history:
        raise Fatal(
            f"{path.name} contains an export of spotisync ({ours[0]}) and a streaming history ({history[0]}); "
            "import one file or directory of them after the other"
        )
    return bool(ours)


@contextmanager
def open_export(path: Path) -> Iterator[ExportArchive]:
    """Find the files of an export. Raises `Fatal` if there is none, or several of one table."""
    with ExitStack() as stack:
        entries = list(FileWalk(path, stack).entries())
        if path.is_file() and not is_zip(path):  # the user chose this file, so its name does not matter
            chosen, left_out = entries, list[str]()
        else:
            chosen = [entry for entry in entries if entry.basename in NAMES]
            left_out = [entry.name for entry in entries if entry.basename not in NAMES]
        files = [ExportFile(entry, _find_table(entry)) for entry in chosen]
        for table in ("plays", "saved_tracks"):
            names = [file.entry.name for file in files if file.table == table]
            if len(names) > 1:
                raise Fatal(f"{path.name} contains several files of {table}: {', '.join(names)}; import one of them")
        yield ExportArchive(files, left_out)


def _find_table(entry: Entry) -> ImportedTable:
    """By the columns, since people rename files. An empty file of JSON Lines has none, so its name decides."""
    if entry.problem:
        raise Fatal(f"{entry.name} {entry.problem}")
    try:
        columns = _read_columns(entry)
    except ValueError as error:
        raise _invalid(entry, error) from None
    if columns is None:
        return "plays" if entry.basename.startswith("plays") else "saved_tracks"
    table = exported_rows.table_of(columns)
    if table is None:
        raise Fatal(
            f"{entry.name} is no export of plays (columns played_at and track_id) or of saved_tracks "
            "(track_id, added_at and removed_at): write one with spotisync export"
        )
    return table


def _read_columns(entry: Entry) -> list[str] | None:
    """The names of the columns; None if the file has no line."""
    suffix = _suffix(entry)
    with _open(entry) as file:
        if suffix == ".parquet":
            return parquet.read_columns(file)
        if suffix == ".csv":
            try:
                return next(csv.reader(_lines(file), strict=True), None)
            except csv.Error as error:
                raise _PlacedError("line 1", str(error)) from None
    first = next(_read_json_lines(entry), None)
    return [*first[1]] if first else None


def _read(entry: Entry) -> Iterator[NumberedRow]:
    suffix = _suffix(entry)
    if suffix == ".csv":
        yield from _read_csv(entry)
    elif suffix == ".jsonl":
        yield from _read_json_lines(entry)
    else:
        with _open(entry) as file:
            for number, row in enumerate(parquet.iter_rows(file), 1):
                yield f"row {number}", row


def _read_csv(entry: Entry) -> Iterator[NumberedRow]:
    with _open(entry) as file:
        reader = csv.DictReader(_lines(file), strict=True)
        number = 2  # a cell can contain line breaks, so a row is named by its first line
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise _PlacedError(f"line {number}", "has not as many cells as the header")
                yield f"line {number}", exported_rows.from_csv(row)
                number = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            raise _PlacedError(f"line {number}", str(error)) from None


def _read_json_lines(entry: Entry) -> Iterator[NumberedRow]:
    with _open(entry) as file:
        number = 0
        try:
            for number, line in enumerate(_lines(file), 1):
                row = json.loads(line) if line.strip() else {}
                if not isinstance(row, dict):
                    raise _PlacedError(f"line {number}", "is no JSON object")
                if row:
                    yield f"line {number}", row
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            place = number + isinstance(error, UnicodeDecodeError)
            raise _PlacedError(f"line {place}", f"{type(error).__name__}: {error}") from None


class _PlacedError(ValueError):
    """An error, and its place in the file."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(problem)
        self.place = place


def _parse(parse_row: Callable[[dict[str, Any]], Any], place: str, row: dict[str, Any]) -> Any:
    try:
        return parse_row(row)
    except ValueError as error:
        raise _PlacedError(place, str(error)) from None


def _invalid(entry: Entry, error: ValueError) -> Fatal:
    place = f", {error.place}" if isinstance(error, _PlacedError) else ""
    return Fatal(f"{entry.name}{place}: {error}. Nothing was imported")


def _suffix(entry: Entry) -> str:
    return Path(entry.basename).suffix.casefold()


@contextmanager
def _open(entry: Entry) -> Iterator[IO[bytes]]:
    """Open a file for reading; a Parquet file within a zip file is unpacked, since it is read from its end."""
    try:
        with entry.open() as file, ExitStack() as stack:
            if _suffix(entry) != ".parquet" or isinstance(file, io.BufferedReader):
                yield file
                return
            unpacked = stack.enter_context(TemporaryFile())
            shutil.copyfileobj(file, unpacked)
            yield unpacked
    except READ_ERRORS as error:
        if isinstance(error, ValueError):
            raise
        raise Fatal(f"{entry.name} can't be read ({type(error).__name__}). Nothing was imported") from None


def _lines(file: IO[bytes]) -> Iterator[str]:
    """Lines with their ends, for the csv module. Raises `_PlacedError` at one that is too long to be a row."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        number = 0
        while line := text.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise _PlacedError(f"line {number}", f"is longer than {MAX_LINE:,} characters")
            yield line
