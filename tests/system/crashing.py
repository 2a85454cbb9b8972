"""The app with points at which a worker can be told to kill itself: `celery -A tests.system.crashing worker`.

The file named by CRASH_FILE contains `point phase`. The process that
reaches this point removes the file and kills itself.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery.signals import task_postrun

import spotisync.tasks
from spotisync import callers, result_backend, tasks, workflow
from spotisync.celery import app
from spotisync.sync import batch
from spotisync.sync import callers as waiting

__all__ = ["app"]

_crash_file = Path(os.environ["CRASH_FILE"])
_current = {"phase": ""}


def crash(point: str, phase: str | None = None) -> None:
    with suppress(FileNotFoundError):
        if _crash_file.read_text() == f"{point} {phase or _current['phase']}":
            _crash_file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def _run_batch_and_record_phase(context: Any, sync_id: int, phase: Any, seq: int) -> Any:
    _current["phase"] = phase
    return batch.run_batch(context, sync_id, phase, seq)


_fetch, _publish = batch.fetch, workflow.publish_next  # type: ignore[attr-defined]


def _fetch_or_crash(*args: Any) -> Any:
    crash("before_fetch")
    fetched = _fetch(*args)
    crash("after_fetch")
    return fetched


def _publish_or_crash(*args: Any) -> Any:
    crash("before_publish")
    return _publish(*args)


batch.fetch = _fetch_or_crash  # type: ignore[assignment, attr-defined]
tasks.run_batch = _run_batch_and_record_phase  # type: ignore[attr-defined]
workflow.publish_next = _publish_or_crash  # type: ignore[assignment]


_answer, _store, _mark = callers._answer_one, result_backend.store_result, waiting.mark_answered


def _answer_or_crash(*args: Any) -> None:
    crash("before_links", "answer")
    _answer(*args)


def _store_or_crash(*args: Any) -> None:
    crash("after_links", "answer")
    _store(*args)


def _mark_or_crash(*args: Any) -> None:
    crash("after_result", "answer")
    _mark(*args)


callers._answer_one = _answer_or_crash  # type: ignore[assignment]
result_backend.store_result = _store_or_crash  # type: ignore[assignment]
waiting.mark_answered = _mark_or_crash  # type: ignore[assignment]


@task_postrun.connect
def _crash_after_publish(sender: Any, **_: Any) -> None:
    if sender.name == spotisync.tasks.batch.name:
        crash("after_publish")
