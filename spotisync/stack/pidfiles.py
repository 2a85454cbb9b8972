"""Pid files with start times, which tell the process that was started from a later one with the same pid.

On Linux children end with their parent (see `exec_child`), and pid files only cover the moment until they have ended.
On other systems they are the only protection.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path


def start_time(pid: int) -> str | None:
    """Return the start time in the system's own format, None if the process has ended or is a zombie."""
    if sys.platform == "linux":
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if state in "ZX" else f"{boot} {fields[18]}"
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = found.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def write(file: Path, pid: int) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(f"{pid}\n{start_time(pid)}\n")


def read_running(file: Path) -> int | None:
    """Return the pid in the file if that process is still running."""
    try:
        pid, started = file.read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if pid.isdigit() and start_time(int(pid)) == started else None


def end_process(file: Path, signals: Iterable[signal.Signals], grace: float) -> None:
    """End the process in the file if it is still running: send each signal and wait `grace` seconds."""
    for number in signals:
        if (pid := read_running(file)) is None:
            return
        os.kill(pid, number)
        deadline = time.monotonic() + grace
        while read_running(file) == pid and time.monotonic() < deadline:
            time.sleep(0.02)
