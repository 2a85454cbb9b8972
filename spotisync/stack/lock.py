"""One `up` or `demo` per data dir. The kernel releases the lock when its holder ends, even by kill -9."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotisync.errors import Fatal
from spotisync.stack.directories import prepare_data_dir


@contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[None]:
    """Lock the data dir for this process. Raises `Fatal`, with the holder's pid, if another process has the lock."""
    with (prepare_data_dir(data_dir) / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise Fatal(f"spotisync is already running on {data_dir}, as {holder}: stop that process first") from None
        file.truncate(0)
        file.write(f"pid {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S %Z')}\n")
        file.flush()
        yield
