"""Questions to servers that may be frozen: who asks waits so long and no longer, and no thread is lost for each."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """One question at a time, in a thread of its own; who asks meanwhile gets the same answer."""

    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._lock = threading.Lock()
        self._asked: Future[T] | None = None

    def ask(self) -> "Future[T]":
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                # A daemon: a server that never answers must not keep this process from ending.
                threading.Thread(target=self._answer, args=(self._asked,), daemon=True).start()
            return self._asked

    def _answer(self, asked: "Future[T]") -> None:
        try:
            asked.set_result(self._question())
        except Exception as error:  # noqa: BLE001 (raised where it was asked)
            asked.set_exception(error)
