"""Which process is still the one we started, and no other that got its number later.

On Linux children end with us (see `leash`), and this only covers the moment until they have; elsewhere it is all we
have.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path


def start_time(pid: int) -> str | None:
    """Tell the moment it began, as the system tells it; none when it is over (a zombie is)."""
    if sys.platform == "linux":
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if state in "ZX" else f"{boot} {fields[18]}"
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, began = found.stdout.strip().partition(" ")
    return None if not began or state.startswith("Z") else began.strip()


def write(file: Path, pid: int) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(f"{pid}\n{start_time(pid)}\n")


def read_running(file: Path) -> int | None:
    """Read the pid in the note, if that very process still runs."""
    try:
        pid, began = file.read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if pid.isdigit() and start_time(int(pid)) == began else None


def end_process(file: Path, signals: Iterable[signal.Signals], grace: float) -> None:
    """End the process of the note, if it still runs: each signal gets `grace` seconds to work."""
    for number in signals:
        if (pid := read_running(file)) is None:
            return
        os.kill(pid, number)
        deadline = time.monotonic() + grace
        while read_running(file) == pid and time.monotonic() < deadline:
            time.sleep(0.02)
