"""The Celery app (`celery -A spotisync worker`) and the context of each worker process."""

import ctypes
import gc
import logging
import mmap
import os
import runpy
import signal
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from celery import Celery
from celery.bootsteps import StartStopStep
from celery.signals import (
    after_task_publish,
    beat_init,
    celeryd_after_setup,
    heartbeat_sent,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)
from celery.worker.consumer import Tasks
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES

from spotisync import decompression, logs, rejections, telemetry, transport
from spotisync.core import queues
from spotisync.settings import bundled_path, settings
from spotisync.sync import Context, runs

log = logging.getLogger(__name__)
PR_SET_PDEATHSIG = 1
REPORT_SECONDS = 5
# Containers allocated between two collections; a page of saved tracks has about a thousand.
GC_THRESHOLD = 10_000
M_ARENA_MAX = -8  # of mallopt(3)

TRANSPORT_ALIASES.update(transport.ALIASES)
decompression.limit_size()

app = Celery("spotisync", include=["spotisync.tasks"], control="spotisync.remote_control:RemoteControl")
# By its path: a wheel has it in the package, and in a checkout another `celeryconfig` may shadow it.
app.config_from_object(runpy.run_path(str(bundled_path("celeryconfig.py"))))


@cache
def context() -> Context:
    """This process's engine, gate and clients, created on first use, after the fork."""
    return Context.from_settings(settings(), stopping)


# Memory that a worker shares with the children it forks later. A signal to each child would miss one that is being
# forked, and no signal number is free in every pool.
_stop_requested = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def _request_stop(**_: Any) -> None:
    """On SIGTERM or Ctrl-C Celery waits for running tasks, so these must soon release their work to other workers."""
    _stop_requested[0] = 1


def stopping() -> bool:
    return bool(_stop_requested[0])


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    logs.configure(settings())


# Task argument to log field.
_LOG_FIELDS = {"sync_id": "run", "phase": "phase", "seq": "batch", "account": "account"}


@task_prerun.connect
def _begin_task_log(task_id: str, kwargs: dict[str, Any], **_: Any) -> None:
    fields = {_LOG_FIELDS[name]: value for name, value in kwargs.items() if name in _LOG_FIELDS and value is not None}
    logs.begin_task(task_id, fields)


@task_postrun.connect
def _end_task_log(**_: Any) -> None:
    logs.end_task()


@heartbeat_sent.connect
def _touch_heartbeat_file(**_: Any) -> None:
    """Every 2 s, from the loop that consumes messages; it stops while the broker is away."""
    if path := settings().sign_of_life:
        path.touch()


@beat_init.connect
def _touch_heartbeat_file_from_beat(**_: Any) -> None:
    """After each task that the broker has accepted: at least once per sweep interval."""
    after_task_publish.connect(_touch_heartbeat_file)


class PrefetchPerConsumer(StartStopStep):
    """Limit what each consumer prefetches, not what the channel does: quorum queues and RabbitMQ 4 refuse "global qos".

    RabbitMQ applies a changed limit to new consumers only. They are restarted, so that a worker that holds messages
    with a countdown gets others meanwhile.
    """

    requires = (Tasks,)

    def include_if(self, consumer: Any) -> bool:
        return bool(consumer.app.connection_for_read().transport.driver_type == "amqp")

    def start(self, consumer: Any) -> None:
        tasks, qos = consumer.task_consumer, consumer.qos
        if not consumer.connection.qos_semantics_matches_spec:  # RabbitMQ 3, where Celery has limited the channel
            consumer.connection.default_channel.basic_qos(0, 0, True)  # noqa: FBT003 (of amqp: size, count, global)

        def restart(prefetch_count: int) -> None:
            tasks.cancel()
            tasks.qos(prefetch_count=prefetch_count, apply_global=False)
            tasks.consume()

        tasks.qos(prefetch_count=qos.value, apply_global=False)
        qos.callback, qos.prev = restart, qos.value


app.steps["consumer"].add(PrefetchPerConsumer)


def declare_queues(app: Celery, connection: Connection) -> None:
    """As publishers and workers do first. Raises the broker's own error if it refuses; to Redis it is a write."""
    for queue in app.amqp.queues.values():
        queue(connection.default_channel).declare()


@celeryd_after_setup.connect
def _consume_all_runs(instance: Any, **_: Any) -> None:
    """Let a worker that was started for `spotisync.sync`, once the only queue of runs, take messages of all runs."""
    wanted = instance.app.amqp.queues
    first, *others = queues.OF_RUNS
    if first in wanted.consume_from and not set(others) & set(wanted.consume_from):
        for name in others:
            wanted.select_add(wanted[name])


_watched: set[int] = set()


@worker_ready.connect
def _watch_children(sender: Any, **_: Any) -> None:
    """Look for dead children twice a second: the pool can miss an exit, and checks only every 5 s."""
    maintain = getattr(getattr(sender.pool, "_pool", None), "maintain_pool", None)
    hub = getattr(sender, "hub", None)
    # `worker_ready` is sent again after each reconnection. Only the prefork pool has children to watch.
    if maintain and hub and id(hub) not in _watched:
        _watched.add(id(hub))
        hub.call_repeatedly(0.5, maintain)


_reporting: set[int] = set()


@worker_ready.connect
def _report_rejections(sender: Any, **_: Any) -> None:
    """Let a child count rejected messages in Postgres: this process must open no connection that children inherit."""

    def report() -> None:
        if not (rejected := rejections.count.take()):
            return
        try:
            app.send_task("spotisync.sweep", kwargs={"rejected": rejected}, retry=False, ignore_result=True)
        except Exception as error:  # noqa: BLE001 (each transport raises its own classes)
            rejections.count.add(rejected)
            log.warning("%d rejected messages can't be counted now: %s", rejected, error)

    if id(sender.timer) not in _reporting:
        _reporting.add(id(sender.timer))
        sender.timer.call_repeatedly(REPORT_SECONDS, report)


# The worker's pid, as its children inherit it.
_worker_pids: list[int] = []


@worker_init.connect
def _note_worker_pid(**_: Any) -> None:
    _worker_pids[:] = [os.getpid()]


@worker_process_init.connect
def _start_child(**_: Any) -> None:
    """Request a sweep: the new child may replace one that was killed during a batch."""
    _exit_with_parent()
    _tune_garbage_collection()
    _share_heap()
    telemetry.start(settings(), lambda sync_id: runs.join_trace(context(), sync_id))
    try:
        app.send_task("spotisync.sweep", retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 (a child must start; each transport raises its own classes)
        log.warning("spotisync.sweep could not be published (%s); beat publishes it at its next interval", error)


def _tune_garbage_collection() -> None:
    """Spend no time of a batch on the objects of the modules.

    A reply consists of thousands of containers. Their allocation starts collections, a full one of which takes 65 ms
    with the 116,000 objects of the modules, and finds nothing.
    """
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _share_heap() -> None:
    """Let all threads allocate from one heap, as glibc does by `MALLOC_ARENA_MAX=1`; musl always does.

    Each thread that fetches would otherwise have a heap of its own that keeps the space of its largest reply.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


@task_postrun.connect
def _return_memory(task: Any, **_: Any) -> None:
    """Give the memory that a batch has freed back to the system, by malloc_trim(3).

    The heap would otherwise grow by 8 MB in 300 batches. This takes 0.7 ms, after the next batch was published.
    """
    if task.name == "spotisync.batch":
        with suppress(AttributeError):  # only glibc has it
            ctypes.CDLL(None).malloc_trim(0)


def _exit_with_parent() -> None:
    """A child can acknowledge nothing once its worker was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The worker may have been killed before. Its pid is compared with the noted one, since it is 1 in a container.
        if _worker_pids and os.getppid() not in _worker_pids:
            os._exit(1)


@beat_init.connect
def _start_beat(**_: Any) -> None:
    telemetry.start(settings())


@worker_process_shutdown.connect
def _close_context(**_: Any) -> None:
    telemetry.stop()
    if context.cache_info().currsize:
        context().close()
        context.cache_clear()
