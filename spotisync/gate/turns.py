"""The turns of one batch, whose requests are sent by several threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from spotisync.core.pace import Turn
from spotisync.core.requests import Family
from spotisync.errors import Stopping
from spotisync.gate.gate import Gate


class BatchTurns:
    """Taken in the order of the requests, so that the answers up to the first error are without holes.

    After an error, no later request takes a turn: its answer would not be used.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._error: BaseException | None = None

    def take(self, number: int, gate: Gate, family: Family) -> Turn:
        """Take the turn of this request, counted from 0, after those of the earlier ones. Raises like the gate."""
        with self._changed:
            self._changed.wait_for(lambda: self._next == number or self._error)
            if self._error:
                raise self._error
            turn = gate.take_turn(family)
            self._next += 1
            self._changed.notify_all()
            return turn

    def close(self) -> None:
        """Give no further turns: the batch is over, and a request would wait forever for a cancelled earlier one."""
        self._end(Stopping())

    @contextmanager
    def ending_with_error(self) -> Iterator[None]:
        """Give no further turns after an error in this block."""
        try:
            yield
        except BaseException as error:
            self._end(error)
            raise

    def _end(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
