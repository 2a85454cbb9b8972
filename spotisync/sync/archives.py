"""Files in a directory or zip file, and in the zip files within."""

import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from spotisync.errors import Fatal

MAX_FILE_BYTES: Final = 1 << 28  # Spotify starts another file after about 12 MB
MAX_TOTAL_BYTES: Final = 1 << 31
MAX_DEPTH: Final = 3  # of zip files within zip files
NO_FILE: Final = "is no regular file"  # but a pipe, socket or device: reading it may never end
READ_ERRORS: Final = (
    ValueError,
    RecursionError,
    EOFError,
    zipfile.BadZipFile,
    NotImplementedError,
    OSError,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class Entry:
    """One file; `open` opens it for reading bytes. `problem`: why it must not be read."""

    name: str
    open: Callable[[], IO[bytes]]
    problem: str | None = None

    @property
    def basename(self) -> str:
        return self.name.rpartition("/")[2]


def unreadable(name: str, error: Exception) -> Fatal:
    reason = str(error) if type(error) is ValueError else type(error).__name__
    return Fatal(f"{name} can't be read ({reason}); it may be damaged, download it again")


class FileWalk:
    """Lists files. The zip files stay open until `stack` is closed; nothing is unpacked to a named file."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path, self._stack = path, stack
        self._unpacked = 0

    def entries(self) -> Iterator[Entry]:
        """Raises `Fatal` with the name of a zip file that can't be read."""
        if self._path.is_dir():
            try:
                yield from self._in_directory()
            except OSError as error:
                name = error.filename or self._path.name
                raise Fatal(f"{name} can't be read ({error.strerror}); let this user read it, or copy it") from None
        elif not self._path.is_file():
            raise Fatal(f"{self._path.name} is no regular file; save the file to disk and import that file")
        elif is_zip(self._path):
            yield from self._in_zip(self._path, self._path.name, "", 1)
        else:
            yield Entry(self._path.name, _opener(self._path))

    def _in_directory(self) -> Iterator[Entry]:
        for directory, names, files in os.walk(self._path, onerror=_raise):
            links = [name for name in names if (Path(directory) / name).is_symlink()]
            names[:] = sorted(name for name in names if not is_hidden(name))
            for path in (Path(directory) / name for name in sorted([*files, *links])):
                name = path.relative_to(self._path).as_posix()
                if not is_hidden(name):
                    yield from self._on_disk(path, name)

    def _on_disk(self, path: Path, name: str) -> Iterator[Entry]:
        problem = "is a link" if path.is_symlink() else None if path.is_file() else NO_FILE
        if is_zip_name(name) and not problem:
            yield from self._in_zip(path, name, f"{name}/", 1)
        else:
            yield Entry(name, _opener(path), problem)

    def _in_zip(self, file: Path | IO[bytes], name: str, prefix: str, depth: int) -> Iterator[Entry]:
        try:
            archive = self._stack.enter_context(zipfile.ZipFile(file))
        except READ_ERRORS as error:
            raise unreadable(name, error) from None
        for info in archive.infolist():
            member = info.filename.replace("\\", "/")  # as Windows PowerShell's Compress-Archive writes them
            if member.endswith("/") or is_hidden(member):
                continue
            entry = Entry(prefix + member, _member_opener(archive, info), self._find_problem(info))
            if is_zip_name(member):
                yield from self._in_zip(self._unpack(entry, depth), entry.name, f"{entry.name}/", depth + 1)
            else:
                yield entry

    def _find_problem(self, info: zipfile.ZipInfo) -> str | None:
        self._unpacked += info.file_size
        if info.file_size > MAX_FILE_BYTES:
            return f"declares {info.file_size:,} bytes; Spotify's archives contain no file of this size"
        if self._unpacked > MAX_TOTAL_BYTES:
            raise Fatal(
                f"{self._path.name} unpacks to more than {MAX_TOTAL_BYTES:,} bytes; no streaming history is that large"
            )
        if info.flag_bits & 1 or stat.S_ISLNK(info.external_attr >> 16):
            return "is encrypted or a link; Spotify's archives contain no such file"
        return None

    def _unpack(self, entry: Entry, depth: int) -> IO[bytes]:
        """Unpack a zip file within a zip file, since it is read from its end."""
        if entry.problem:
            raise Fatal(f"{entry.name} {entry.problem}")
        if depth >= MAX_DEPTH:
            raise Fatal(f"{entry.name} is a zip file in {depth} others; unpack it and import the directory")
        unpacked = self._stack.enter_context(TemporaryFile())  # noqa: SIM115 (closed with the stack)
        try:
            with entry.open() as packed:
                shutil.copyfileobj(packed, unpacked)
        except READ_ERRORS as error:
            raise unreadable(entry.name, error) from None
        return unpacked


def _raise(error: OSError) -> None:
    """By default, os.walk skips a directory that can't be read."""
    raise error


def is_zip(path: Path) -> bool:
    return path.is_file() and (is_zip_name(path.name) or zipfile.is_zipfile(path))


def is_zip_name(name: str) -> bool:
    return name.casefold().endswith(".zip")


def is_hidden(name: str) -> bool:
    """Files of macOS and of file managers, which no one put there. Some programs write `./` before each name."""
    return any((part.startswith(".") and part not in {".", ".."}) or part == "__MACOSX" for part in name.split("/"))


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def _member_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)
