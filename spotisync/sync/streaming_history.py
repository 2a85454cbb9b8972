"""Spotify's streaming history on disk (a zip file, a directory or a single file), read row by row."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from spotisync.core import streaming_history
from spotisync.errors import Fatal
from spotisync.sync.archives import NO_FILE, READ_ERRORS, Entry, FileWalk, is_zip, unreadable
from spotisync.sync.json_rows import iter_rows

MAX_FILES: Final = 1_000
REQUEST_HISTORY: Final = (
    "request the extended streaming history at https://www.spotify.com/account/privacy; "
    "Spotify sends my_spotify_data.zip within 30 days"
)


@dataclass(frozen=True)
class HistoryFile:
    """One file of the streaming history."""

    entry: Entry

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def number(self) -> int | None:
        return streaming_history.file_number(self.entry.basename)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Raises `Fatal` with the name of the file if it is invalid."""
        for row in self._members():
            if not streaming_history.is_row(row):
                raise Fatal(f"{self.name} is not a streaming history: {REQUEST_HISTORY}")
            yield row

    def has_rows(self) -> bool:
        """Whether the first member of the file is a row of a streaming history, whatever the name of the file."""
        try:
            return streaming_history.is_row(next(self._members(), None))
        except Fatal:
            return False

    def _members(self) -> Iterator[Any]:
        if self.entry.problem:
            raise Fatal(f"{self.name} {self.entry.problem}")
        try:
            with self.entry.open() as raw:
                yield from iter_rows(raw)
        except READ_ERRORS as error:
            raise unreadable(self.name, error) from None


@dataclass(frozen=True)
class HistoryArchive:
    """The files of a streaming history that are imported, in order, and the names of the others."""

    files: list[HistoryFile]
    left_out: list[str]


@contextmanager
def open_history(path: Path) -> Iterator[HistoryArchive]:
    """Find the files of a streaming history. Raises `Fatal` if there is none or one is implausible."""
    with ExitStack() as stack:
        entries = FileWalk(path, stack).entries()
        if path.is_dir() or is_zip(path):
            yield _select(path, entries)
        else:  # the user chose this file, so its name does not matter
            yield HistoryArchive([HistoryFile(entry) for entry in entries], [])


def _select(path: Path, entries: Iterable[Entry]) -> HistoryArchive:
    found, left_out = [], []
    for file in map(HistoryFile, entries):
        if _is_history(file):
            found.append(file)
        else:
            left_out.append(f"{file.name} ({file.entry.problem})" if file.entry.problem else file.name)
    if len(found) > MAX_FILES:
        raise Fatal(f"{path.name} has {len(found):,} history files; at most {MAX_FILES:,} are accepted")
    if not found:
        raise Fatal(
            f"{path.name} contains no Streaming_History_Audio_….json, endsong_….json or StreamingHistory….json: "
            f"{REQUEST_HISTORY}"
        )
    return HistoryArchive(
        sorted(found, key=lambda file: (-1 if file.number is None else file.number, file.name)), left_out
    )


def _is_history(file: HistoryFile) -> bool:
    """Whether to import a file: by its name, and if people have renamed it, by its first row."""
    name = file.entry.basename
    if file.entry.problem == NO_FILE:
        return False
    return streaming_history.is_history_name(name) or (name.casefold().endswith(".json") and file.has_rows())
