"""Log lines that say which run, phase and batch they belong to: text on a terminal, JSON elsewhere.

Also lines of libraries, and those that Celery writes when a task is over: what is known of a task is kept for as long
as it lasts. A thread has no context of its own: hand it a copy (`contextvars.copy_context().run`).
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from spotisync.settings import Settings

_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039 (never changed in place)


_task: ContextVar[dict[str, Any] | None] = ContextVar("task", default=None)


def begin_task(task_id: str, fields: Mapping[str, Any]) -> None:
    """A Celery task begins in this process."""
    _task.set({"task_id": task_id, **fields})


def add_task_fields(**fields: Any) -> None:
    """For the rest of the task, also after the `bind` that is going on; outside of one: nothing."""
    known = _task.get()
    if known is not None:
        known.update(fields)


def end_task() -> None:
    _task.set(None)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    # Celery's main process says which task it has received, and is in none.
    data = getattr(record, "data", None)
    received = {"task_id": data["id"]} if isinstance(data, dict) and "id" in data else {}
    return {**received, **(_task.get() or {}), **_bound.get()}


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Put these fields on every line logged inside."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _one_line(value: object) -> str:
    """A foreign message may hold anything."""
    words = str(value)
    return words if words.isprintable() else repr(words)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        # Celery's own lines have the task's id in their words.
        fields = " ".join(f"{key}={_one_line(value)}" for key, value in _fields(record).items() if key != "task_id")
        return f"{text}  [{fields}]" if fields else text


def configure(settings: Settings) -> None:
    """Set up the root logger of this process, on stderr: stdout is for what a command answers."""
    form = settings.log_format or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter() if form == "json" else TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # These log whole requests, bearer tokens included, at DEBUG.
    for name in ("spotipy", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.WARNING)
