"""Read a backup. Only rows are taken from it: what it says about tables, functions and others is never executed."""

import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory, TemporaryFile
from typing import IO, Final

from spotisync.core.dump_script import SequenceValue, TableRows, parse_script
from spotisync.errors import Fatal
from spotisync.settings import Settings
from spotisync.stack.backup import ENVIRONMENT, dump_schema, find_program

MAX_PIECE_BYTES: Final = 1 << 16
REVISION: Final = "alembic_version"
# Of `pg_restore --list`: number; two OIDs; kind, schema, name and owner.
ENTRY: Final = re.compile(r"(\d+); \d+ \d+ (.+)")
REVISION_ROW: Final = re.compile(rb"\w{1,32}\n")
# The migrations make these only where the extension is available.
OPTIONAL: Final = (
    "EXTENSION - pg_trgm",
    "COMMENT - EXTENSION pg_trgm",
    *(f"INDEX public ix_{table}_search" for table in ("albums", "artists", "tracks")),
)
Items = Iterator[TableRows | SequenceValue]


class Archive:
    def __init__(self, settings: Settings, file: Path) -> None:
        """Raises `Fatal` unless this is a complete backup made by `spotisync backup`."""
        self._settings, self._file = settings, file.absolute()
        if not file.is_file():  # reading a FIFO would wait for its writer
            raise _refusal(file, "it is no regular file")
        self._entries = _list_entries(settings, self._file)
        rows = [entry for _, entry in self._entries if entry.startswith("TABLE DATA ")]
        if not any(_is_among(entry, {_rows_of(REVISION)}) for entry in rows) or len(set(rows)) < len(rows):
            raise _refusal(self._file, "it lacks the revision of its tables, or contains rows of a table twice")

    def read_revision(self) -> str:
        """Read the revision of its schema."""
        with self._open([_rows_of(REVISION)]) as items:
            found = [b"".join(item.data) for item in items if isinstance(item, TableRows) and item.table == REVISION]
        if len(found) != 1 or not REVISION_ROW.fullmatch(found[0]):
            raise _refusal(self._file, "the revision of its tables can't be read")
        return found[0].decode().strip()

    def find_others(self, names: Collection[str]) -> list[str]:
        """List the entries that are not among these, each as kind, schema, name and owner."""
        known = {*names, *OPTIONAL}
        return [entry.strip() for _, entry in self._entries if not _is_among(entry, known)]

    def open_rows(self, tables: Iterable[str], sequences: Iterable[str]) -> AbstractContextManager[Items]:
        """Open the rows of these tables, in this order, then the values of these sequences."""
        return self._open([*map(_rows_of, tables), *map(_value_of, sequences)])

    @contextmanager
    def _open(self, entries: Sequence[str]) -> Iterator[Items]:
        numbers = [number for name in entries for number, entry in self._entries if _is_among(entry, {name})]
        with TemporaryFile() as errors, NamedTemporaryFile("w") as wanted:
            wanted.writelines(f"{number};\n" for number in numbers)
            wanted.flush()
            options = ("--data-only", "--file=-", f"--use-list={wanted.name}")
            command = [find_program(self._settings, "pg_restore"), *options, str(self._file)]
            with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=errors) as process:
                yield self._parse(process, errors)

    def _parse(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> Items:
        """Parse the output, and raise `Fatal` at its end if the program has failed."""
        assert process.stdout  # noqa: S101 (it is a pipe)
        yield from parse_script(iter(partial(process.stdout.readline, MAX_PIECE_BYTES), b""))
        if process.wait() != 0:
            errors.seek(0)
            raise _refusal(self._file, errors.read(MAX_PIECE_BYTES).decode(errors="replace"))


def list_known_entries(settings: Settings, tables: Iterable[str], sequences: Iterable[str]) -> set[str]:
    """List what a backup of the current database would contain: the schema, and the rows of our tables."""
    with TemporaryDirectory() as directory:
        file = Path(directory) / "schema"
        dump_schema(settings, file)
        made = {entry.rpartition(" ")[0] for _, entry in _list_entries(settings, file)}
    return {*made, *map(_rows_of, (*tables, REVISION)), *map(_value_of, sequences)}


def _list_entries(settings: Settings, file: Path) -> list[tuple[str, str]]:
    """List the number and the text of each entry."""
    command = [find_program(settings, "pg_restore"), "--list", str(file)]
    listed = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False)
    if listed.returncode != 0:
        raise _refusal(file, listed.stderr.decode(errors="replace"))
    lines = listed.stdout.decode(errors="replace").split("\n")
    return [(found[1], found[2]) for line in lines if (found := ENTRY.fullmatch(line))]


def _rows_of(table: str) -> str:
    return f"TABLE DATA public {table}"


def _value_of(sequence: str) -> str:
    return f"SEQUENCE SET public {sequence}"


def _is_among(entry: str, names: Collection[str]) -> bool:
    """An entry ends with its owner, whose name can contain spaces."""
    words = entry.split(" ")
    return any(" ".join(words[:length]) in names for length in range(3, len(words)))


def _refusal(file: Path, reason: str) -> Fatal:
    return Fatal(f"{file} is not a complete backup made by `spotisync backup` ({reason.strip()[-500:]})")
