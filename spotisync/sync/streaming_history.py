"""Spotify's privacy export on disk (a zip, a directory or a single file), read row by row."""

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
MAX_ROW_CHARS: Final = 1 << 20  # a real row has less than 1 kB
MAX_FILE_BYTES: Final = 1 << 28  # Spotify starts another file after about 12 MB
MAX_FILES: Final = 1_000
REQUEST_EXPORT: Final = (
    "request the extended streaming history at https://www.spotify.com/account/privacy; "
    "Spotify sends my_spotify_data.zip within 30 days"
)


@dataclass(frozen=True)
class HistoryFile:
    """One file of the streaming history; `open` opens it for reading bytes."""

    name: str
    open: Callable[[], IO[bytes]]

    @property
    def number(self) -> int | None:
        return streaming_history.file_number(Path(self.name).name)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Raises `Fatal` with the name of the file if it is invalid."""
        try:
            with self.open() as raw, TextIOWrapper(raw, encoding="utf-8-sig") as text:
                for row in iter_array(text):
                    if not streaming_history.is_history_row(row):
                        raise Fatal(_describe_wrong_kind(self.name, row))
                    yield row
        except (ValueError, RecursionError, EOFError, zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise Fatal(
                f"{self.name} can't be read ({type(error).__name__}); it may be damaged, download it again"
            ) from None


def iter_array(file: IO[str]) -> Iterator[Any]:
    """Yield the members of a JSON array, keeping little more than one in memory. Raises `ValueError`."""
    decode = json.JSONDecoder().raw_decode
    text, at = file.read(CHUNK).lstrip(), 1
    if not text.startswith("["):
        raise ValueError("not a JSON array")
    while True:
        at = _skip_separators(text, at)
        if text.startswith("]", at):
            return
        try:
            value, end = decode(text, at)
        except json.JSONDecodeError:
            more = file.read(CHUNK)
            if not more or len(text) - at > MAX_ROW_CHARS:
                raise
            text, at = text[at:] + more, 0
        else:
            yield value
            at = end


def _skip_separators(text: str, at: int) -> int:
    while at < len(text) and text[at] in ", \t\r\n":
        at += 1
    return at


def _describe_wrong_kind(name: str, row: Any) -> str:
    if streaming_history.is_account_data_row(row):
        return f"{name} belongs to the account data, which has no track ids: {REQUEST_EXPORT}"
    return f"{name} is not a streaming history: {REQUEST_EXPORT}"


# ---- finding the files ----------------------------------------------------------------------------------------------


@contextmanager
def open_history(path: Path) -> Iterator[list[HistoryFile]]:
    """The files of an export, in order. Raises `Fatal` if there is none or one is implausible."""
    if path.is_dir():
        yield _select([HistoryFile(str(each.relative_to(path)), _opener(each)) for each in path.rglob("*.json")], path)
    elif zipfile.is_zipfile(path):
        with _zip(path) as archive:
            yield _select([_member(archive, info) for info in archive.infolist() if not info.is_dir()], path)
    else:
        yield [HistoryFile(path.name, _opener(path))]


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise Fatal(
            f"{path.name} can't be read ({type(error).__name__}); it may be damaged, download it again"
        ) from None
    with archive:
        yield archive


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> HistoryFile:
    return HistoryFile(info.filename, lambda: _open_member(archive, info))


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """Reads no more than the declared size; writes nothing to disk."""
    if info.file_size > MAX_FILE_BYTES:
        raise Fatal(
            f"{info.filename} declares {info.file_size:,} bytes; Spotify's exports contain no file of this size"
        )
    if info.flag_bits & 1 or stat.S_ISLNK(info.external_attr >> 16):
        raise Fatal(f"{info.filename} is encrypted or a link; Spotify's exports contain no such file")
    return archive.open(info)


def _select(files: list[HistoryFile], path: Path) -> list[HistoryFile]:
    names = {file: Path(file.name).name for file in files}
    found = [file for file in files if streaming_history.EXTENDED.fullmatch(names[file])]
    if len(found) > MAX_FILES:
        raise Fatal(f"{path.name} has {len(found):,} history files; at most {MAX_FILES:,} are accepted")
    if found:
        return sorted(found, key=lambda file: (-1 if file.number is None else file.number, file.name))
    if any(streaming_history.BASIC.fullmatch(name) for name in names.values()):
        raise Fatal(f"{path.name} contains the account data, whose history has no track ids: {REQUEST_EXPORT}")
    raise Fatal(f"{path.name} contains no Streaming_History_Audio_….json and no endsong_….json: {REQUEST_EXPORT}")


# ---- check before the import ----------------------------------------------------------------------------------------


def scan_file(file: HistoryFile, now: datetime) -> HistoryFileSummary:
    """Read the whole file, so that errors are found before anything is stored."""
    rows, first, last, previous, in_order = 0, None, None, None, True
    for row in file.rows():
        rows += 1
        at = streaming_history.parse_stopped_at(row, now)
        if at is None:
            continue
        in_order = in_order and (previous is None or previous <= at)
        first, last, previous = min(first or at, at), max(last or at, at), at
    return HistoryFileSummary(file.name, file.number, rows, first, last, in_order)
