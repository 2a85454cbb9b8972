"""Messages that a worker removes from the broker, as malformed or as too many to hold: each is logged and counted."""

import logging
from typing import Any

from pydantic import ValidationError

log = logging.getLogger(__name__)


class RejectionCount:
    """Messages rejected since the last `take`. Only the worker's main process receives messages."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, count: int) -> None:
        self._count += count

    def take(self) -> int:
        taken, self._count = self._count, 0
        return taken


count = RejectionCount()


def reject(why: object, task_id: object, size: int | None, kind: str = "malformed") -> None:
    """Record a removed message. Its content is not logged: it may be long, and it is not trusted."""
    count.add(1)
    reason = why if isinstance(why, str) else f"{type(why).__name__}: {why!s:.200}"
    length = "of unknown size" if size is None else f"of {size} bytes"
    log.error("a %s message %s was removed from the broker (id %.80r): %r", kind, length, task_id, reason)


def explain(error: Exception) -> str:
    """Name the wrong fields, without their values."""
    if not isinstance(error, ValidationError):
        return type(error).__name__
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in found[:3])


def measure(body: Any) -> int | None:
    return len(body) if isinstance(body, str | bytes) else None
