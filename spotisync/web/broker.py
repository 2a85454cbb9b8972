"""The broker, asked with little patience."""

from typing import Any

from celery import Celery
from kombu import Connection, Queue

PATIENCE_SECONDS = 1.5


def ping_broker(app: Celery) -> None:
    """Raises what its transport raises, if it does not answer."""
    with _connected(app) as connection, connection.channel():
        pass


def queue_lengths(app: Celery) -> dict[str, int]:
    """Messages that no worker has taken, by queue."""
    with _connected(app) as connection:
        return {queue.name: _length(connection, queue.name) for queue in app.conf.task_queues}


def _connected(app: Celery) -> Connection:
    options = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    return app.connection_for_read(connect_timeout=PATIENCE_SECONDS, transport_options=options)


def _length(connection: Connection, name: str) -> int:
    # A queue that is not there is an empty one in Redis, and ends the channel in RabbitMQ.
    missing: tuple[Any, ...] = connection.channel_errors
    try:
        with connection.channel() as channel:
            declared: Any = Queue(name, channel=channel).queue_declare(passive=True)
            return int(declared.message_count)
    except missing:
        return 0
