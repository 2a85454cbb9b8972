"""What it ran on, in one line: figures mean nothing without it."""

import os
import platform
from pathlib import Path

from benchmarks.rows import median, timed
from spotisync.stack.binaries import postgres_version

WRITES = 50
PAGE = b"\0" * 8192


def machine(directory: Path) -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.machine()}"
    disk, load = f"fsync {_fsync(directory):.1f} ms", f"load {os.getloadavg()[0]:.1f} at the start"
    return f"{_cores()} cores, {system}, {python}, PostgreSQL {postgres_version()}, {disk}, {load}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fsync(directory: Path) -> float:
    """What a commit pays at least, on the disk that the database is on."""
    probe = directory / "fsync"
    with probe.open("wb", buffering=0) as file:
        took = median([timed(lambda: _write(file.fileno()))[0] for _ in range(WRITES)])
    probe.unlink()
    return took


def _write(file: int) -> None:
    os.pwrite(file, PAGE, 0)
    os.fsync(file)
