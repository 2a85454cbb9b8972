"""Log lines with the run, phase and batch that they belong to: text on a terminal, JSON elsewhere.

The fields of a task also appear on lines of libraries, and on those that Celery logs after the task function returned.
A thread starts with an empty context: run it in a copy (`contextvars.copy_context().run`).
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from spotisync.settings import Settings

# Control characters but tab and line feed, and those that change the direction of text: in a name they could move the
# cursor of a terminal, or make it show another text than there is.
_CONTROLS: Final = dict.fromkeys(
    (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)

_bound: ContextVar[dict[str, Any]] = ContextVar("bound")
_task: ContextVar[dict[str, Any] | None] = ContextVar("task", default=None)


def remove_controls(text: str) -> str:
    """Make a text safe for a terminal."""
    return text.translate(_CONTROLS)


def begin_task(task_id: str, fields: Mapping[str, Any]) -> None:
    _task.set({"task_id": task_id, **fields})


def add_task_fields(**fields: Any) -> None:
    """Until the end of the task, beyond any `bind`. Does nothing outside a task."""
    if (current := _task.get()) is not None:
        current.update(fields)


def end_task() -> None:
    _task.set(None)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    # A line of Celery's main process, which is in no task, may name the task that it has received.
    data = getattr(record, "data", None)
    received = {"task_id": data["id"]} if isinstance(data, dict) and "id" in data else {}
    return {**received, **(_task.get() or {}), **_bound.get({})}


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Put these fields on every line logged inside."""
    token = _bound.set({**_bound.get({}), **fields})
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
    """Escape line breaks and control characters, which a foreign message may contain."""
    text = str(value)
    return text if text.isprintable() else repr(text)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = remove_controls(super().format(record))
        # Celery's own lines contain the task's id already.
        fields = " ".join(f"{key}={_one_line(value)}" for key, value in _fields(record).items() if key != "task_id")
        return f"{text}  [{fields}]" if fields else text


def configure(settings: Settings) -> None:
    """Set up the root logger of this process, on stderr: stdout is for the output of commands."""
    format_ = settings.log_format or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter() if format_ == "json" else TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # At DEBUG these log whole requests, including bearer tokens.
    for name in ("spotipy", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.WARNING)
