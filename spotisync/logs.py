"""Log lines that say which run, phase and batch they belong to: text on a terminal, JSON elsewhere."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from spotisync.settings import Settings

_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039 (never changed in place)


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Put these fields on every line logged inside."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_bound.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        fields = " ".join(f"{key}={value}" for key, value in _bound.get().items())
        return f"{text}  [{fields}]" if fields else text


def configure(settings: Settings) -> None:
    """Set up the root logger of this process, on stderr: stdout is for what a command answers."""
    form = settings.log_format or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # These log whole requests, bearer tokens included, at DEBUG.
    for name in ("spotipy", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.WARNING)
