"""Celery's transport for Redis, which drops what is not a message. Kombu's own raises, and so ends the worker."""

from typing import Any, Final

from kombu.transport import redis
from kombu.transport.virtual import Empty
from redis.exceptions import DataError

from spotisync import rejections

# Kombu takes a KeyError for a lost connection. A DataError refuses the type of a value, such as a null delivery tag.
MALFORMED: Final = (KeyError, DataError)
RECOVERABLE: Final = (*redis.Transport.connection_errors, *redis.Transport.channel_errors)


def is_outage(error: Exception) -> bool:
    return isinstance(error, RECOVERABLE) and not isinstance(error, MALFORMED)


class GuardedQoS(redis.QoS):
    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002
        try:
            super().restore_by_tag(tag, client, leftmost)
        except Exception as error:
            if is_outage(error):
                raise
            rejections.reject(error, tag, None)
            self.ack(tag)


class GuardedReads:
    """Of a channel. What it reads has been removed from the queue already."""

    QoS = GuardedQoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except Empty:
            raise
        except Exception as error:
            if is_outage(error):
                raise
            text = getattr(error, "doc", getattr(error, "object", None))  # of JSON and of UTF-8
            rejections.reject(error, None, rejections.measure(text))
            return True

    def _receive_one(self, client: Any) -> Any:
        """As above, for broadcasts. Kombu handles some errors of JSON itself."""
        try:
            return super()._receive_one(client)  # type: ignore[misc]
        except Empty:
            raise
        except Exception as error:
            if is_outage(error):
                raise
            rejections.reject(error, None, None)
            return True


class GuardedDelivery:
    """Of a transport: deliver messages from queues and from broadcasts."""

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)  # type: ignore[misc]
        except Exception as error:
            if is_outage(error):
                raise
            fields = message if isinstance(message, dict) else {}
            headers = fields.get("headers")
            task_id = headers.get("id") if isinstance(headers, dict) else None
            rejections.reject(error, task_id, rejections.measure(fields.get("body")))


class GuardedChannel(GuardedReads, redis.Channel):  # type: ignore[misc]
    pass


class GuardedSentinelChannel(GuardedReads, redis.SentinelChannel):  # type: ignore[misc]
    pass


class GuardedTransport(GuardedDelivery, redis.Transport):  # type: ignore[misc]
    Channel = GuardedChannel


class GuardedSentinelTransport(GuardedDelivery, redis.SentinelTransport):  # type: ignore[misc]
    Channel = GuardedSentinelChannel


def _path(transport: type) -> str:
    return f"{transport.__module__}:{transport.__qualname__}"


# Kombu's names for URL schemes.
ALIASES: Final = {
    "redis": _path(GuardedTransport),
    "rediss": _path(GuardedTransport),
    "sentinel": _path(GuardedSentinelTransport),
}
