"""The canvas of a run and the messages that start tasks.

A run's canvas is a chain: the batch that is due, the first batch of each later phase, finish. It carries nothing of a
caller's message and can be rebuilt from the run row at any time.
"""

import logging
from typing import Any, TypeAlias

import celery
from amqp.exceptions import AMQPError
from celery import chain
from celery.canvas import Signature
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from spotisync import telemetry
from spotisync.broker import get_queue_lengths
from spotisync.celery import app
from spotisync.core import queues
from spotisync.core.states import Phase, later_phases
from spotisync.settings import CLOCK_TOLERANCE_SECONDS
from spotisync.store.runs import Run
from spotisync.sync.schedule import PlaybackDue

log = logging.getLogger(__name__)
Task: TypeAlias = "celery.Task[Any, Any]"
# More than the runs that proceed at the same time; about 70 MB in Redis.
MOST_MESSAGES = 20_000
# Celery converts a transport's own errors to OperationalError only where it retries: not for the event of a sent task,
# for example. Its Redis backend raises RuntimeError when Redis is away.
OUTAGES = (OperationalError, OSError, RedisError, AMQPError)
BROKER_ERRORS = (*OUTAGES, RuntimeError)


def canvas(run: Run) -> Signature:
    queue = queues.get_queue(run.sync_type, asked=run.asked)
    label = f"{run_label(run.id, run.account)}, finish"
    finish = _signature("spotisync.finish", {"sync_id": run.id}, label, queue)
    if run.phase == "finish":
        return finish
    later = (batch_signature(run.id, phase, 0, run.account, queue) for phase in later_phases(run.phase))
    return chain(batch_signature(run.id, run.phase, run.seq, run.account, queue), *later, finish)


def run_label(sync_id: int, account: str) -> str:
    return f"run {sync_id} of {account}"


def batch_signature(sync_id: int, phase: Phase, seq: int, account: str, queue: str) -> Signature:
    label = f"{run_label(sync_id, account)}, {phase}, batch {seq}"
    return _signature("spotisync.batch", {"sync_id": sync_id, "phase": phase, "seq": seq}, label, queue)


def _signature(name: str, kwargs: dict[str, Any], label: str, queue: str) -> Signature:
    """`label` replaces the arguments in logs and Flower.

    Results are not stored: no caller reads them, and each of a run's hundreds would stay in Redis for a day.
    """
    return app.signature(name, kwargs=kwargs, queue=queue, immutable=True, kwargsrepr=label, ignore_result=True)


def publish(run: Run) -> bool:
    """Send the canvas. False if the broker is away; `wake_at` is set, so sweep publishes the run later."""
    try:
        with telemetry.within(run.traceparent):
            canvas(run).apply_async()
    except BROKER_ERRORS as error:
        log.warning("run %d could not be published (%s); the next sweep publishes it", run.id, error)
        return False
    return True


def has_room() -> bool:
    """Whether the queues may take more messages of runs. What sweep adds while no worker receives any are copies."""
    try:
        return sum(get_queue_lengths(app, *queues.OF_RUNS).values()) < MOST_MESSAGES
    except BROKER_ERRORS:
        return False


def dispatch(due: Run | PlaybackDue) -> None:
    """Send what the schedule has made due."""
    if isinstance(due, Run):
        publish(due)
        return
    expires = max(due.expires, CLOCK_TOLERANCE_SECONDS)
    try:
        app.send_task("spotisync.track_playback", kwargs={"account": due.account}, expires=expires, ignore_result=True)
    except BROKER_ERRORS as error:
        log.warning("the read of %s's plays could not be published (%s); the next one covers them", due.account, error)


def request_sweep() -> None:
    """Run sweep now rather than at beat's next interval: publish due runs and answer callers."""
    _request("spotisync.sweep")


def request_enrich() -> None:
    """Run the next batch of the backlog now rather than at beat's next interval."""
    _request("spotisync.enrich")


def request_housekeeping() -> None:
    """Delete the next old rows now rather than at beat's next interval."""
    _request("spotisync.housekeeping")


def _request(name: str) -> None:
    try:
        app.send_task(name, retry=False, ignore_result=True)
    except BROKER_ERRORS as error:
        log.warning("%s could not be published (%s); beat publishes it at its next interval", name, error)
