"""Remote control of workers. They answer questions, such as those of Flower and `spotisync doctor`.

Whoever can write to the broker can send commands, so none that changes a worker is obeyed. Malformed ones would end it.
"""

from typing import Annotated, Any, Literal

from celery.app import control
from kombu import pidbox
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spotisync import rejections

MAX_NAME = 255


class ReplyAddress(BaseModel):
    model_config = ConfigDict(strict=True)

    exchange: Annotated[str, Field(max_length=MAX_NAME)]
    routing_key: Annotated[str, Field(max_length=MAX_NAME)]


class Command(BaseModel):
    """The body of a message. A pattern of host names is not accepted: matching it may take forever."""

    model_config = ConfigDict(strict=True)

    method: Literal[
        "active", "active_queues", "clock", "conf", "enable_events", "heartbeat", "ping", "query_task", "registered",
        "report", "reserved", "revoked", "scheduled", "stats",
    ]  # fmt: skip
    arguments: dict[str, Any] | None = None
    destination: list[str] | None = None
    pattern: Literal[""] | None = None
    ticket: Annotated[str, Field(max_length=MAX_NAME)] | None = None
    reply_to: ReplyAddress | None = None


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
