"""Ctrl-C, SIGTERM and a closed terminal mean the same: stop in order."""

import signal
from types import FrameType
from typing import Self

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Inside the block they are counted: the first asks for an end, the second one hurries it, the third interrupts.

    A flag and not an exception, which could come between a child's start and the note of its pid. Main thread only.
    """

    def __init__(self) -> None:
        self._count = 0
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def is_stop_requested(self) -> bool:
        return self._count >= 1

    @property
    def is_hurried(self) -> bool:
        return self._count >= 2

    def __enter__(self) -> Self:
        for number in ASKING:
            self._before[number] = signal.getsignal(number)
            # `nohup` has SIGHUP ignored; an ignored SIGINT only means that a script put us in the background.
            if number != signal.SIGHUP or self._before[number] != signal.SIG_IGN:
                signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # none: it was not set from Python

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= 3:
            raise KeyboardInterrupt
