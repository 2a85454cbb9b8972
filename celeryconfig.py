"""Celery's options. Values come from `spotisync.settings`; the tasks are in `spotisync/tasks.py`."""

from contextlib import suppress

from kombu import Exchange, Queue

from spotisync.core import queues
from spotisync.settings import CLOCK_TOLERANCE_SECONDS, settings

_settings = settings()
# Without these, a frozen Redis blocks a publisher indefinitely.
_timeouts = {"socket_timeout": 10, "socket_connect_timeout": 5, "health_check_interval": 25}
_broker_master, _result_master = _settings.sentinel_masters

broker_url = _settings.broker
if _settings.broker_ssl:
    # Celery takes those of Redis from the URL; Flower reads only this setting.
    broker_use_ssl = _settings.broker_ssl
result_backend = _settings.backend
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# A server that refuses writes (full, read-only after a failover) is waited for like one that is away.
broker_channel_error_retry = True
broker_transport_options = {
    # Must exceed the longest countdown plus the longest batch, or Redis delivers twice. It does not delay the batch of
    # a lost worker: sweep publishes that much earlier.
    "visibility_timeout": max(3600, 2 * _settings.max_countdown + _settings.lease_seconds),
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "queue_order_strategy": "spotisync.core.queues:WeightedCycle",
    **_timeouts,
    # A quorum queue may leave the request of a consumer unanswered while its node starts. Not for Redis.
    "read_timeout": 10,
    # Not valid for a unix socket.
    **({} if _settings.broker.startswith("redis+socket") else {"socket_keepalive": True}),
    **({"master_name": _broker_master} if _broker_master else {}),
}
redis_socket_timeout = 10
redis_socket_connect_timeout = 5
redis_socket_keepalive = not _settings.backend.startswith("redis+socket")
redis_backend_health_check_interval = 25
result_backend_transport_options = {
    "retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.5},
    **({"master_name": _result_master} if _result_master else {}),
}

accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"
event_serializer = "json"
result_expires = 86_400
result_extended = True
enable_utc = True
timezone = _settings.zone

# A message is acknowledged after its batch, and the message of a dead child goes to another one. The claim in Postgres
# ensures that the batch is committed once.
task_acks_late = True
task_reject_on_worker_lost = True
task_track_started = True
worker_prefetch_multiplier = 1
worker_consumer = "spotisync.consumer:Consumer"
# A new child publishes a sweep, which is slow while the broker is frozen; killing the child would not help.
worker_proc_alive_timeout = 30
# A batch takes seconds; this limit ends what hangs where no other timeout applies.
task_time_limit = 900
# Covers a restart of the broker. What can't be published then is published by sweep.
task_publish_retry_policy = {"max_retries": 5, "interval_start": 0, "interval_step": 0.5, "interval_max": 2}

task_default_queue = queues.SYNC
# Each with its own exchange and key: with the default ones every queue would get every message.
task_queues = [Queue(name, Exchange(name), name) for name in queues.WEIGHTS]
task_routes = {
    "spotisync.cancel_sync": {"queue": queues.CONTROL},
    "spotisync.sweep": {"queue": queues.CONTROL},
    "spotisync.tick": {"queue": queues.CONTROL},
    "spotisync.tell": {"queue": queues.CONTROL},
    "spotisync.enrich": {"queue": queues.BACKLOG},
    "spotisync.housekeeping": {"queue": queues.HOUSEKEEPING},
    # With a separate worker (-Q spotisync.playback) it never waits behind a batch.
    "spotisync.track_playback": {"queue": queues.PLAYBACK},
}

# RabbitMQ 4.3 refuses queues that are neither durable nor exclusive.
control_queue_exclusive = True
event_queue_exclusive = True

# For Flower.
worker_send_task_events = True
task_send_sent_event = True
worker_hijack_root_logger = False


with suppress(OSError):  # beat reports the error itself, and a worker does not need the directory
    _settings.data_dir.mkdir(parents=True, exist_ok=True)
beat_schedule_filename = str(_settings.data_dir / "beat-schedule")
# Of what accumulates without a worker, it executes little. It judges by its own clock, which may be ahead of beat's.
_expiry = CLOCK_TOLERANCE_SECONDS
beat_schedule = {
    "sweep": {
        "task": "spotisync.sweep",
        "schedule": _settings.sweep_interval,
        "kwargs": {"scheduled": True},
        "options": {"expires": _expiry},
    },
    # One query if nothing is deferred.
    "enrich": {
        "task": "spotisync.enrich",
        "schedule": 30,
        "options": {"expires": _expiry, "ignore_result": True},
    },
    # Begins, or continues where a lost message has ended it.
    "housekeeping": {
        "task": "spotisync.housekeeping",
        "schedule": 600,
        "kwargs": {"scheduled": True},
        "options": {"expires": 600},
    },
    # What is due, and when, is in Postgres.
    "tick": {
        "task": "spotisync.tick",
        "schedule": min(30, _settings.sweep_interval),
        "options": {"expires": _expiry},
    },
}
if _settings.notify:
    beat_schedule["tell"] = {"task": "spotisync.tell", "schedule": 10, "options": {"expires": _expiry}}
if _settings.enrichment == "off":
    del beat_schedule["enrich"]
