"""A short temporary directory per test, and a check that no process is left behind in it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

from .processes import processes_of

Start = Callable[..., subprocess.Popen[str]]
PROGRAM = Path(__file__).with_name("program.py")


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ss-", dir="/tmp"))  # short, because of socket paths
    path.chmod(0o711)  # as root, servers run as the user nobody
    yield path
    try:
        wait_until(lambda: not processes_of(path), "all processes to end")
    finally:
        for pid in processes_of(path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(path)


@contextmanager
def _started(place: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(PROGRAM), str(place), *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Start `program.py`, a small `spotisync up`, in a separate process."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(_started(place, *arguments))
