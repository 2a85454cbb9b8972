"""Remote control of workers, as Celery's: Flower, `celery inspect` and `celery control`.

Celery hands arguments on as they come, and malformed ones would end the worker. Who can write to the broker can also
send well-formed commands: see docs/operations.md.
"""

from typing import Annotated, Any, Literal, Self

from celery.app import control
from kombu import pidbox
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spotisync import rejections

MAX_NAME = 255


class ReplyAddress(BaseModel):
    model_config = ConfigDict(strict=True)

    exchange: Annotated[str, Field(max_length=MAX_NAME)]
    routing_key: Annotated[str, Field(max_length=MAX_NAME)]


Name = Annotated[str, Field(max_length=MAX_NAME)]


class Arguments(BaseModel):
    """Of a command that changes a worker. Errors in those of a question are Celery's to answer."""

    model_config = ConfigDict(strict=True, extra="forbid")


class NoArguments(Arguments):
    msg: Name | None = None


class Revoke(Arguments):
    task_id: Name | Annotated[list[Name], Field(max_length=1000)]
    terminate: bool = False
    signal: Name | None = None


class Terminate(Arguments):
    task_id: Name | Annotated[list[Name], Field(max_length=1000)]
    signal: Name


class RateLimit(Arguments):
    task_name: Name
    rate_limit: Annotated[str, Field(pattern=r"^\d{1,6}(\.\d{1,3})?(/[smh])?$")] | Annotated[int, Field(ge=0)] | None


class TimeLimit(Arguments):
    task_name: Name
    hard: Annotated[float, Field(gt=0)] | None = None
    soft: Annotated[float, Field(gt=0)] | None = None


class PoolChange(Arguments):
    n: Annotated[int, Field(ge=1, le=100)] = 1


class Autoscale(Arguments):
    max: Annotated[int, Field(ge=1, le=100)] | None = None
    min: Annotated[int, Field(ge=1, le=100)] | None = None


class Queue(Arguments):
    queue: Name
    exchange: Name | None = None
    exchange_type: Literal["direct", "topic", "fanout"] | None = None
    routing_key: Name | None = None


QUESTIONS = {
    "active", "active_queues", "clock", "conf", "enable_events", "heartbeat", "ping", "query_task", "registered",
    "report", "reserved", "revoked", "scheduled", "stats",
}  # fmt: skip
CHANGES: dict[str, type[Arguments]] = {
    "shutdown": NoArguments,
    "disable_events": NoArguments,
    "revoke": Revoke,
    "terminate": Terminate,
    "rate_limit": RateLimit,
    "time_limit": TimeLimit,
    "pool_grow": PoolChange,
    "pool_shrink": PoolChange,
    "autoscale": Autoscale,
    "add_consumer": Queue,
    "cancel_consumer": Queue,
}


class Command(BaseModel):
    """The body of a message. A pattern of host names is not accepted: matching it may take forever."""

    model_config = ConfigDict(strict=True)

    method: str
    arguments: dict[str, Any] | None = None
    destination: list[str] | None = None
    pattern: Literal[""] | None = None
    ticket: Name | None = None
    reply_to: ReplyAddress | None = None

    @model_validator(mode="after")
    def _check_arguments(self) -> Self:
        if self.method not in QUESTIONS and self.method not in CHANGES:
            raise ValueError("unknown command")
        if arguments := CHANGES.get(self.method):
            arguments.model_validate(self.arguments or {})
        return self


class Headers(BaseModel):
    model_config = ConfigDict(strict=True)

    # A worker adopts it, and sends it as an integer of 64 bits.
    clock: Annotated[int, Field(ge=0, lt=2**53)] | None = None


class Node(pidbox.Node):
    def handle_message(self, body: Any, message: Any = None) -> Any:
        try:
            Command.model_validate(body)
            Headers.model_validate(message.headers if message else {})
        except ValidationError as error:
            rejections.reject(rejections.explain(error), None, rejections.measure(message and message.body), "control")
            return None
        return super().handle_message(body, message)


class Mailbox(pidbox.Mailbox):
    node_cls = Node


class RemoteControl(control.Control):
    Mailbox = Mailbox
