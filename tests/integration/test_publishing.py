"""A message is sent after the commit of what it names: a worker that receives it at once finds the batch due."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore
from sqlalchemy import text

from spotisync import callers, result_backend, workflow
from spotisync.celery import app
from spotisync.core.outcomes import More
from spotisync.sync import Context, runs
from tests.support import driver
from tests.support.driver import Account


class Task:
    """What is used of a Celery task."""

    name = "spotisync.full_sync"

    def __init__(self) -> None:
        self.request = SimpleNamespace(id="caller", chain=[], root_id="root", delivery_info={}, get=lambda _: None)

    def update_state(self, **_: Any) -> None:
        pass

    def send_event(self, *_: Any, **__: Any) -> None:
        pass


@pytest.fixture
def sent(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """For each message: the batch that it names, and the one that was due when it was sent."""
    messages: list[tuple[Any, Any]] = []

    def send(_: Any, _name: str, message: Any, **__: Any) -> None:
        _args, kwargs, _embedded = message.body
        with context.database.begin() as connection:
            due = connection.execute(
                text("SELECT phase, seq FROM sync_history WHERE id = :id AND claim IS NULL"), {"id": kwargs["sync_id"]}
            ).one_or_none()
        messages.append(((kwargs["phase"], kwargs["seq"]), due and tuple(due)))

    monkeypatch.setattr(app.amqp, "send_task_message", send)
    monkeypatch.setattr(result_backend, "_send", lambda *_, **__: None)
    return messages


def test_a_run_is_committed_before_it_is_published(context: Context, account: Account, sent: list[Any]) -> None:
    task: Any = Task()
    with pytest.raises(Ignore):
        callers.receive(
            task, context, lambda caller: runs.trigger(context, account.name, "full", "task", caller=caller)
        )
    assert sent == [(("tracks", 0), ("tracks", 0))]


def test_a_batch_is_committed_before_the_next_one_is_published(
    context: Context, account: Account, sent: list[Any]
) -> None:
    run = driver.start(context, account)
    while not isinstance(outcome := driver.step(context, run), More):
        assert sent == []
    task: Any = Task()
    workflow.publish_next(task, context, run.id, outcome)
    assert sent == [((outcome.phase, outcome.seq), (outcome.phase, outcome.seq))]
