"""The consumer of a worker. It rejects what is not a task message, and messages with an eta that are too many."""

import logging
from collections.abc import Callable
from datetime import datetime
from traceback import walk_tb
from typing import Annotated, Any, cast

from celery.exceptions import WorkerShutdown
from celery.platforms import EX_FAILURE
from celery.utils.time import maybe_iso8601, maybe_make_aware
from celery.worker import consumer
from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, Field, Strict, StringConstraints, TypeAdapter

from spotisync import rejections
from spotisync.held_messages import EtaLimit
from spotisync.settings import settings

log = logging.getLogger(__name__)

# Celery uses them as keys of results, and we as keys of callers.
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
Seconds = Annotated[float, Field(ge=0), AllowInfNan(allow_inf_nan=False)]


def check_name(name: str) -> str:
    """Only one of Celery's own tasks is part of canvases. `celery.chord_unlock`, for example, may repeat forever."""
    if name.startswith("celery.") and name != "celery.accumulate":
        raise ValueError("a task of Celery itself")
    return name


class TaskFields(BaseModel):
    """The headers of a task message (in Celery's protocol 1: its body) that the worker interprets."""

    model_config = ConfigDict(strict=True)

    id: Identifier
    task: Annotated[Identifier, AfterValidator(check_name)]
    root_id: Identifier | None = None
    parent_id: Identifier | None = None
    group: Identifier | None = None
    shadow: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: Annotated[int, Field(ge=0)] | None = None
    timelimit: Annotated[tuple[Seconds | None, Seconds | None], Strict(strict=False)] | None = None
    ignore_result: bool | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    traceparent: str | None = None


# Celery takes each element of what it is given for a task to send: each letter of a string, for example.
Signatures = Annotated[list[dict[str, Any]], Field(max_length=1_000)]


class FollowUps(BaseModel):
    """What Celery sends after a task. A malformed chain or chord is an error of that task."""

    model_config = ConfigDict(strict=True)

    callbacks: Signatures | None = None
    errbacks: Signatures | None = None


# args, kwargs, and what follows the task. JSON has lists for tuples.
BODY: TypeAdapter[Any] = TypeAdapter(tuple[list[Any], dict[str, Any], FollowUps | None])


TOO_MANY = "this worker holds as many messages with an eta as it may"


def check_message(message: Any) -> TaskFields:
    """Raises ValueError unless it is a task message, of Celery's protocol 1 or 2."""
    payload = message.payload
    old = payload if isinstance(payload, dict) else {}
    fields = TaskFields.model_validate({**old, **message.headers})
    BODY.validate_python((old.get("args", []), old.get("kwargs", {}), old) if old else payload)
    return fields


def is_from_pool(error: Exception) -> bool:
    """Whether the task was well-formed, and could not be given to a process."""
    return any(frame.f_code.co_name == "execute_using_pool" for frame, _ in walk_tb(error.__traceback__))


class Consumer(consumer.Consumer):
    """Without gossip and mingle, which no feature needs: they believe what any sender says of other workers."""

    app: Any
    qos: Any
    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "without_gossip": True, "without_mingle": True})

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **kwargs)
        limit = EtaLimit(settings().max_countdown)

        def on_message(message: Any) -> None:
            try:
                fields = check_message(message)
            except Exception as error:  # noqa: BLE001 (decoding may raise anything)
                return self._reject(message, rejections.explain(error))
            if not fields.eta:
                return self._handle(handle, message)
            return self._handle_with_eta(handle, message, limit, fields.eta)

        return on_message

    def _handle(self, handle: Callable[[Any], None], message: Any) -> None:
        try:
            handle(message)
        except (*self.connection_errors, *self.channel_errors) as error:
            if not isinstance(error, KeyError):  # which kombu takes for a lost connection
                raise
            self._reject(message, rejections.explain(error))
        except Exception as error:
            if is_from_pool(error):  # the message is good: it returns to the broker when this worker ends
                log.exception("the pool takes no tasks, so this worker ends")
                raise WorkerShutdown(EX_FAILURE) from error
            self._reject(message, rejections.explain(error))  # a field that Celery, but no check, refuses

    def _handle_with_eta(self, handle: Callable[[Any], None], message: Any, limit: EtaLimit, text: str) -> None:
        """Handle it unless the worker holds too many. None is returned to the broker, which would send it again."""
        try:
            eta = maybe_make_aware(cast("datetime", maybe_iso8601(text)), self.app.timezone).timestamp()
        except (ValueError, OverflowError):
            return self._handle(handle, message)  # Celery rejects it
        tag, size = str(message.delivery_tag), len(message.body)
        if tag in limit:  # Redis delivers again what is held for longer than the visibility timeout
            return None
        kind = limit.choose(eta)
        if not kind.has_room(size):
            return self._reject(message, TOO_MANY, "surplus")
        before = self.qos.value
        self._handle(handle, message)
        if self.qos.value > before:  # it was neither rejected nor found to be revoked or expired
            kind.add(tag, eta, size)
        return None

    def on_invalid_task(self, _body: Any, message: Any, exc: Exception) -> None:
        self._reject(message, str(exc)[:200])

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._reject(message, type(exc).__name__)

    def _reject(self, message: Any, why: str, kind: str = "malformed") -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        rejections.reject(why, headers.get("id"), rejections.measure(message.body), kind)
        if not message.acknowledged:
            message.reject()
