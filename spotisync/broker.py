"""Questions to the broker, of a process that may not wait long for the answer."""

from typing import Any, Final

from celery import Celery
from kombu import Connection, Queue

from spotisync.celery import declare_queues

BROKER_SECONDS: Final = 1.5


def ping_broker(app: Celery) -> None:
    """Raises an error of the broker's transport if it does not answer, or refuses what publishers do first."""
    with _connect(app) as connection:
        declare_queues(app, connection)


def get_queue_lengths(app: Celery, *names: str) -> dict[str, int]:
    """Return the number of messages that no worker has received yet, by queue; without names, of all queues."""
    with _connect(app) as connection:
        wanted = names or [queue.name for queue in app.conf.task_queues]
        return {name: _get_queue_length(connection, name) for name in wanted}


def _connect(app: Celery) -> Connection:
    options = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    return app.connection_for_read(connect_timeout=BROKER_SECONDS, transport_options=options)


def _get_queue_length(connection: Connection, name: str) -> int:
    # A missing queue is empty in Redis, and closes the channel in RabbitMQ.
    missing: tuple[Any, ...] = connection.channel_errors
    try:
        with connection.channel() as channel:
            declared: Any = Queue(name, channel=channel).queue_declare(passive=True)
            return int(declared.message_count)
    except missing:
        return 0
