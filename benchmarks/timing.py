"""Where the time of a batch goes, as seen in the worker: `celery -A benchmarks.hops` installs it.

Each process appends one line of JSON per event to a file of its own. A span is [kind, detail, start, end], in seconds
of the wall clock, so that spans of several processes can be put on one time line. It costs two clock reads per span.
"""

import functools
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from celery.signals import after_task_publish, before_task_publish, task_postrun, task_prerun, task_received

from spotisync.settings import settings
from spotisync.sync import batch

STAGES = ("_claim", "_plan", "_fetch", "_fold", "_commit")  # of `run_batch`
Span = list[Any]
_spans: list[Span] = []  # of the task that this process runs; threads append too
_publishing: dict[str, float] = {}


def install() -> None:
    """Wrap the stages of a batch, every wait for Spotify's reply and every statement; listen to Celery's signals."""
    for stage in STAGES:
        setattr(batch, stage, _timed(getattr(batch, stage), lambda *_, name=stage: ("stage", name.strip("_"))))
    connection, cursor, database = http.client.HTTPConnection, psycopg.Cursor, psycopg.Connection
    _wrap(connection, "getresponse", lambda *_: ("http", ""))
    _wrap(cursor, "execute", _statement)
    _wrap(cursor, "executemany", _statement)
    _wrap(database, "commit", lambda *_: ("commit", "COMMIT"))
    _wrap_copy(cursor)
    before_task_publish.connect(_begin_publishing, weak=False)
    after_task_publish.connect(_end_publishing, weak=False)
    task_received.connect(_received, weak=False)
    task_prerun.connect(_begin, weak=False)
    task_postrun.connect(_end, weak=False)


def files(data_dir: Path) -> Iterator[Path]:
    return data_dir.glob("timing-*.jsonl")


def _wrap(owner: Any, name: str, describe: Callable[..., tuple[str, str]]) -> None:
    setattr(owner, name, _timed(getattr(owner, name), describe))


def _timed(work: Callable[..., Any], describe: Callable[..., tuple[str, str]]) -> Callable[..., Any]:
    @functools.wraps(work)
    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.time()
        try:
            return work(*args, **kwargs)
        finally:
            _spans.append([*describe(*args), started, time.time()])

    return run


def _wrap_copy(cursor: Any) -> None:
    work = cursor.copy

    @contextmanager
    def copy(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        started = time.time()
        with work(self, statement, *args, **kwargs) as copied:
            yield copied
        _spans.append([*_statement(self, statement), started, time.time()])

    cursor.copy = copy


def _statement(_: Any, statement: Any, *__: Any) -> tuple[str, str]:
    text = statement.decode() if isinstance(statement, bytes) else str(statement)
    return "sql", " ".join(text.split())[:200]


def _begin_publishing(headers: dict[str, Any], **_: Any) -> None:
    _publishing[headers["id"]] = time.time()


def _end_publishing(headers: dict[str, Any], **_: Any) -> None:
    _spans.append(["publish", headers["id"], _publishing.pop(headers["id"]), time.time()])


def _received(request: Any, **_: Any) -> None:
    """In the worker's main process."""
    _write({"received": request.id, "at": time.time()})


def _begin(**_: Any) -> None:
    _spans.clear()
    _spans.append(["begin", "", time.time(), time.time()])


def _end(task: Any, task_id: str, kwargs: dict[str, Any], retval: Any, **_: Any) -> None:
    items = retval.get("items_processed", 0) if isinstance(retval, dict) else 0
    found = {"task": task.name, "id": task_id, "kwargs": kwargs, "items": items, "pid": os.getpid()}
    _spans.append(["end", "", time.time(), time.time()])
    _write({**found, "rss_mb": peak_rss(), "spans": list(_spans)})


def peak_rss() -> float | None:
    """Return the peak memory of this program in MB, on Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _write(event: dict[str, Any]) -> None:
    with (settings().data_dir / f"timing-{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(event, default=str) + "\n")
