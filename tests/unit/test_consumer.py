"""Which errors of a message reject it, and which end the worker."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import WorkerShutdown
from celery.worker import consumer as celerys

from spotisync.consumer import Consumer


class Message(SimpleNamespace):
    acknowledged = False
    rejected = False

    def reject(self) -> None:
        self.rejected = True


@pytest.fixture
def message() -> Message:
    headers = {"id": "1", "task": "spotisync.sweep"}
    return Message(headers=headers, payload=[[], {}, None], body="[[], {}, null]")


def receive(message: Message, handle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celerys.Consumer, "create_task_handler", lambda _: handle)
    consumer = Consumer.__new__(Consumer)
    consumer.connection_errors, consumer.channel_errors = (ConnectionError,), ()
    consumer.create_task_handler()(message)


def test_a_message_that_celery_refuses_is_rejected(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(_: Any) -> None:
        raise ValueError("a field")

    receive(message, handle, monkeypatch)
    assert message.rejected


def test_a_good_message_survives_a_broken_pool(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected trigger would be lost; an unacknowledged one returns to the broker."""

    def execute_using_pool(_: Any) -> None:
        raise ValueError("file descriptor is None")

    with pytest.raises(WorkerShutdown):
        receive(message, execute_using_pool, monkeypatch)
    assert not message.rejected


def test_a_lost_connection_is_no_fault_of_the_message(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(_: Any) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        receive(message, handle, monkeypatch)
    assert not message.rejected


def test_no_worker_listens_to_gossip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages are believed, and remembered without a bound."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(celerys.Consumer, "__init__", lambda _, *__, **kwargs: given.update(kwargs))
    Consumer(None, without_gossip=False)
    assert given == {"without_gossip": True, "without_mingle": True}
