"""Spotify's privacy export on disk: a zip, a directory or single files, read row by row."""

import json
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, Final

from spotisync.core import streaming_history
from spotisync.core.streaming_history import HistoryFileSummary
from spotisync.errors import Fatal

CHUNK: Final = 1 << 16
LARGEST_ROW: Final = 1 << 20  # a real one has less than a kilobyte
LARGEST_FILE: Final = 1 << 28  # Spotify begins another one after some 12 MB
MOST_FILES: Final = 1_000
ASK_FOR: Final = (
    "ask for the extended streaming history, at https://www.spotify.com/account/privacy; "
    "Spotify sends it within thirty days, as my_spotify_data.zip"
)


@dataclass(frozen=True)
class HistoryFile:
    """One file of history; `open` gives its bytes."""

    name: str
    open: Callable[[], IO[bytes]]

    @property
    def number(self) -> int | None:
        return streaming_history.file_number(Path(self.name).name)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Raises `Fatal` with the name of the file for whatever is wrong with it."""
        try:
            with self.open() as raw, TextIOWrapper(raw, encoding="utf-8-sig") as words:
                for row in iter_array(words):
                    if not streaming_history.is_history_row(row):
                        raise Fatal(_of_another_kind(self.name, row))
                    yield row
        except (ValueError, RecursionError, EOFError, zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise Fatal(f"{self.name} can't be read ({type(error).__name__}): is it damaged?") from None


def iter_array(words: IO[str]) -> Iterator[Any]:
    """The members of one JSON array, one by one; never much more than one of them in memory. Raises `ValueError`."""
    decode = json.JSONDecoder().raw_decode
    text, at = words.read(CHUNK).lstrip(), 1
    if not text.startswith("["):
        raise ValueError("this is no JSON array")
    while True:
        at = _after_blanks(text, at)
        if text.startswith("]", at):
            return
        try:
            value, end = decode(text, at)
        except json.JSONDecodeError:
            more = words.read(CHUNK)
            if not more or len(text) - at > LARGEST_ROW:
                raise
            text, at = text[at:] + more, 0
        else:
            yield value
            at = end


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in ", \t\r\n":
        at += 1
    return at


def _of_another_kind(name: str, row: Any) -> str:
    if streaming_history.is_account_data_row(row):
        return f"{name} is of the account data, which has no track ids: {ASK_FOR}"
    return f"{name} is no streaming history: {ASK_FOR}"


# ---- finding the files ----------------------------------------------------------------------------------------------


@contextmanager
def open_history(path: Path) -> Iterator[list[HistoryFile]]:
    """The files of an export, in order. Raises `Fatal` in words if there is none, or one that no export has."""
    if path.is_dir():
        yield _chosen([HistoryFile(str(each.relative_to(path)), _opener(each)) for each in path.rglob("*.json")], path)
    elif zipfile.is_zipfile(path):
        with _zip(path) as archive:
            yield _chosen([_member(archive, info) for info in archive.infolist() if not info.is_dir()], path)
    else:
        yield [HistoryFile(path.name, _opener(path))]


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise Fatal(f"{path.name} can't be read ({type(error).__name__}): is it damaged?") from None
    with archive:
        yield archive


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> HistoryFile:
    return HistoryFile(info.filename, lambda: _open_member(archive, info))


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """What is read never exceeds the size that was declared; nothing is written to disk."""
    if info.file_size > LARGEST_FILE:
        raise Fatal(f"{info.filename} would be {info.file_size:,} bytes: no export of Spotify's has such a file")
    if info.flag_bits & 1 or stat.S_ISLNK(info.external_attr >> 16):
        raise Fatal(f"{info.filename} is encrypted or a link: no export of Spotify's has such a file")
    return archive.open(info)


def _chosen(files: list[HistoryFile], path: Path) -> list[HistoryFile]:
    names = {file: Path(file.name).name for file in files}
    found = [file for file in files if streaming_history.EXTENDED.fullmatch(names[file])]
    if len(found) > MOST_FILES:
        raise Fatal(f"{path.name} has {len(found):,} files of history: no export of Spotify's has so many")
    if found:
        return sorted(found, key=lambda file: (-1 if file.number is None else file.number, file.name))
    if any(streaming_history.BASIC.fullmatch(name) for name in names.values()):
        raise Fatal(f"{path.name} has the account data, whose history has no track ids: {ASK_FOR}")
    raise Fatal(f"{path.name} has no Streaming_History_Audio_….json and no endsong_….json: {ASK_FOR}")


# ---- a first look ---------------------------------------------------------------------------------------------------


def scan_file(file: HistoryFile, now: datetime) -> HistoryFileSummary:
    """Read all of it once, so that what is wrong is known before anything is stored."""
    rows, first, last, previous, in_order = 0, None, None, None, True
    for row in file.rows():
        rows += 1
        at = streaming_history.parse_stopped_at(row, now)
        if at is None:
            continue
        in_order = in_order and (previous is None or previous <= at)
        first, last, previous = min(first or at, at), max(last or at, at), at
    return HistoryFileSummary(file.name, file.number, rows, first, last, in_order)
