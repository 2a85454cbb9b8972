"""Ctrl-C, SIGTERM and a closed terminal request an orderly stop."""

import signal
from types import FrameType
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Count stop signals inside the block: the first requests a stop, the second hurries it, the third interrupts.

    It sets a flag, because an exception could come between a child's start and the write of its pid file. Main thread
    only.
    """

    def __init__(self) -> None:
        self._count = 0
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def is_stop_requested(self) -> bool:
        return self._count >= 1

    @property
    def is_hurried(self) -> bool:
        return self._count >= 2

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            self._previous[number] = signal.getsignal(number)
            # `nohup` ignores SIGHUP on purpose; SIGINT is also ignored for any background process of a script.
            if number != signal.SIGHUP or self._previous[number] != signal.SIG_IGN:
                signal.signal(number, self._count_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python

    def _count_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= 3:
            raise KeyboardInterrupt
