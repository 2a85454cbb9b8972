import os
from contextlib import suppress
from pathlib import Path


def processes_of(place: Path) -> dict[int, str]:
    """Return the processes that name the directory in their command line or run in it."""
    found = {}
    for proc in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = command and (proc / "cwd").readlink().is_relative_to(place)
            if (str(place) in command or inside) and int(proc.name) != os.getpid():
                found[int(proc.name)] = command
    return found
