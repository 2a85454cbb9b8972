"""The Celery app, and what each of its worker processes holds. `celery -A spotisync worker` finds it here."""

import ctypes
import importlib.util
import logging
import mmap
import os
import signal
import sys
from typing import Any

from celery import Celery
from celery.signals import (
    after_task_publish,
    beat_init,
    heartbeat_sent,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)
from kombu.exceptions import OperationalError

from spotisync import logs
from spotisync.settings import bundled_path, settings
from spotisync.sync import Context

log = logging.getLogger(__name__)
PR_SET_PDEATHSIG = 1


def _celeryconfig() -> Any:
    """By its path: a wheel has it inside the package, and a checkout's may be shadowed by somebody else's."""
    spec = importlib.util.spec_from_file_location("spotisync_celeryconfig", bundled_path("celeryconfig.py"))
    assert spec  # noqa: S101
    assert spec.loader  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


app = Celery("spotisync", include=["spotisync.tasks"])
app.config_from_object(_celeryconfig())

_context: Context | None = None


def context() -> Context:
    """This process's engine, gate and clients: made on first use, after the fork."""
    global _context  # noqa: PLW0603 (one per process is the point)
    if _context is None:
        _context = Context.from_settings(settings(), stopping)
    return _context


# One page of memory that a worker shares with its children, who are forked later. A signal to each of them would miss
# who is just being born, and would have to be free in every pool.
_asked_to_stop = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def _hand_back(**_: Any) -> None:
    """SIGTERM or Ctrl-C: Celery waits for what runs, so what runs is to hand its work to another worker soon."""
    _asked_to_stop[0] = 1


def stopping() -> bool:
    return bool(_asked_to_stop[0])


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    logs.configure(settings())


# What a task's arguments are called in a log line.
_LOGGED = {"sync_id": "run", "phase": "phase", "seq": "batch", "account": "account"}


@task_prerun.connect
def _log_as_task(task_id: str, kwargs: dict[str, Any], **_: Any) -> None:
    logs.begin_task(
        task_id, {_LOGGED[name]: value for name, value in kwargs.items() if name in _LOGGED and value is not None}
    )


@task_postrun.connect
def _log_as_nobody(**_: Any) -> None:
    logs.end_task()


@heartbeat_sent.connect
def _show_life(**_: Any) -> None:
    """Every two seconds, from the loop that takes messages: it stands still while the broker is away."""
    if path := settings().sign_of_life:
        path.touch()


@beat_init.connect
def _show_life_of_beat(**_: Any) -> None:
    """With each task that the broker took, which is at each sweep."""
    after_task_publish.connect(_show_life)


_watched: set[int] = set()


@worker_ready.connect
def _watch_children(sender: Any, **_: Any) -> None:
    """Look for dead children twice a second: the pool can miss an end, and looks by itself only every five seconds."""
    maintain = getattr(getattr(sender.pool, "_pool", None), "maintain_pool", None)
    hub = getattr(sender, "hub", None)
    # Ready comes again after each reconnection; other pools have no children to lose.
    if maintain and hub and id(hub) not in _watched:
        _watched.add(id(hub))
        hub.call_repeatedly(0.5, maintain)


@worker_process_init.connect
def _begin(**_: Any) -> None:
    """A child that has just been born may replace one that was killed in mid-batch: let sweep look at once."""
    _end_with_parent()
    try:
        app.send_task("spotisync.sweep", retry=False, ignore_result=True)
    except OperationalError:
        log.warning("the broker is away; beat's next sweep finds what was lost")


def _end_with_parent() -> None:
    """A child whose worker was killed can't acknowledge anything any more."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)


@worker_process_shutdown.connect
def _end(**_: Any) -> None:
    global _context  # noqa: PLW0603
    if _context is not None:
        _context.close()
        _context = None
