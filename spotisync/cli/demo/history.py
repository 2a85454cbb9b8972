"""The plays of the demo's listener: the simulator writes a streaming history, and `spotisync import` imports it."""

import os
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from spotisync.settings import Settings
from spotisync.stack.process import ChildSpec, Process, stop_all

HISTORY: Final = "my_spotify_data.zip"
IMPORT: Final = "import"
LOW_PRIORITY: Final = 10


class HistoryImport:
    """The two programs, one after the other beside the sync. Call `tick` a few times per second.

    An interrupted demo keeps the file; the next one imports it again, and plays that are already stored are skipped.
    """

    def __init__(self, chosen: Settings, library: str) -> None:
        file = chosen.data_dir / HISTORY
        writing = ("spotisync.simulator", "--library", library, "--timezone", chosen.zone, "--history", str(file))
        importing = ("spotisync", "import", "--json", str(file))
        steps = [(IMPORT, importing)] if file.exists() else [("history", writing), (IMPORT, importing)]
        self._pending = deque(_make_process(name, words, chosen.data_dir) for name, words in steps)
        self._started: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        stop_all(self._started)

    def tick(self, *, may_import: bool = True) -> bool:
        """Start the next program if none is running. Returns whether all have ended; a failure ends them.

        `may_import`: False while the sync stores the tracks, since it would wait for the rows that an import locks.
        """
        if self._started and (self._started[-1].running or self.problem):
            return bool(self.problem)
        if self._pending:
            if self._pending[0].name == IMPORT and not may_import:
                return False
            self._started.append(_start(self._pending.popleft()))
            return False
        return True

    @property
    def problem(self) -> str | None:
        """Why a program failed, with the end of its log."""
        for each in self._started:
            if each.exit_code:
                return f"{each.name} failed ({each.exit_reason}){each.quote_log()}"
        return None


def _start(process: Process) -> Process:
    """Start it at a low priority, so that the sync does not slow down."""
    process.start()
    if process.pid:
        with suppress(ProcessLookupError):  # it has ended
            os.setpriority(os.PRIO_PROCESS, process.pid, LOW_PRIORITY)
    return process


def _make_process(name: str, words: tuple[str, ...], data_dir: Path) -> Process:
    # What an import has committed is kept, so both can be stopped at any time.
    return Process(ChildSpec(name=name, argv=[sys.executable, "-m", *words], restart=False, stop_grace=1), data_dir)
