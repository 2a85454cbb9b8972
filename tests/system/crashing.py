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

_orders = Path(os.environ["CRASH_FILE"])
_at = {"phase": ""}


def crash(point: str, phase: str | None = None) -> None:
    with suppress(FileNotFoundError):
        if _orders.read_text() == f"{point} {phase or _at['phase']}":
            _orders.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def _noting_the_phase(context: Any, sync_id: int, phase: Any, seq: int) -> Any:
    _at["phase"] = phase
    return batch.run_batch(context, sync_id, phase, seq)


_fetch, _publish = batch.fetch, workflow.publish_next  # type: ignore[attr-defined]


def _fetching(*args: Any) -> Any:
    crash("before_fetch")
    fetched = _fetch(*args)
    crash("after_fetch")
    return fetched


def _publishing(*args: Any) -> Any:
    crash("before_publish")
    return _publish(*args)


batch.fetch = _fetching  # type: ignore[assignment, attr-defined]
tasks.run_batch = _noting_the_phase  # type: ignore[attr-defined]
workflow.publish_next = _publishing  # type: ignore[assignment]


_answer, _store, _mark = callers._answer_one, result_backend.store_result, waiting.mark_answered


def _answering(*args: Any) -> None:
    crash("before_links", "answer")
    _answer(*args)


def _storing(*args: Any) -> None:
    crash("after_links", "answer")
    _store(*args)


def _marking(*args: Any) -> None:
    crash("after_result", "answer")
    _mark(*args)


callers._answer_one = _answering  # type: ignore[assignment]
result_backend.store_result = _storing  # type: ignore[assignment]
waiting.mark_answered = _marking  # type: ignore[assignment]


@task_postrun.connect
def _published(sender: Any, **_: Any) -> None:
    if sender.name == spotisync.tasks.batch.name:
        crash("after_publish")
