"""Files that commands write: replaced at once, and readable only by their owner."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Protocol

from spotisync.errors import Fatal


class Output(Protocol):
    def write(self, data: bytes, /) -> object: ...


def create_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(f"{directory} can't be created: {error.strerror}") from None


def check_target(path: Path) -> None:
    """Raise `Fatal` if a new file would take the place of a directory, a device such as /dev/null, or a FIFO."""
    if path.exists() and not path.is_file():
        raise Fatal(f"{path} can't be written: it is no regular file. Name a file that is new or can be replaced")


class _Terminated(KeyboardInterrupt):
    """SIGTERM. At this class of errors psycopg cancels its query, so that the transaction can be rolled back."""


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Make SIGTERM raise `SystemExit`: by default it ends Python at once, without clean-up. Main thread only."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Terminated:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary file, then rename it: an interrupted command keeps the previous file. Main thread only."""
    check_target(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        # Only its owner may read the library. An existing file is never opened: it could be a link of another user.
        with exit_on_sigterm():
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                yield file
            temporary.replace(path)
    except OSError as error:
        raise Fatal(f"{path} can't be written: {error.strerror}") from None
    finally:
        with suppress(OSError):  # such as a name that is too long, which the error above explains
            temporary.unlink(missing_ok=True)
