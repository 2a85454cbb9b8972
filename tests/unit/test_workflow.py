"""Publishing what follows a batch while the transport raises errors of its own."""

from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import UnexpectedFrame
from celery.canvas import Signature
from celery.exceptions import Reject, Retry
from kombu.exceptions import OperationalError
from redis.exceptions import ReadOnlyError, ResponseError

from spotisync import workflow
from spotisync.core import outcomes
from spotisync.core.outcomes import BatchResult, More, Stale
from spotisync.errors import Stopping
from spotisync.sync import callers, runs

RESULT = BatchResult(has_more=True)
ERRORS = [
    ConnectionResetError("peer"),
    OperationalError("away"),
    UnexpectedFrame("frame"),
    ReadOnlyError("READONLY"),
    ResponseError("OOM command not allowed"),
]


class Task:
    """A task whose events and retries raise the given error."""

    name = "spotisync.batch"

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.request = SimpleNamespace(chain=[], root_id="root", id="id", delivery_info={}, get=lambda _: "label")

    def send_event(self, *_: Any, **__: Any) -> None:
        raise self.error

    def retry(self, **_: Any) -> None:
        raise Reject(self.error, requeue=False)  # as `celery.Task.retry` does


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The runs whose next batch was left to the sweep."""
    found: list[int] = []
    monkeypatch.setattr(runs, "publish_later", lambda _, sync_id: found.append(sync_id))
    monkeypatch.setattr(callers, "list_waiting_task_ids", lambda *_: [])
    return found


def failing(error: Exception) -> Any:
    def publish(*_: Any, **__: Any) -> None:
        raise error

    return publish


@pytest.mark.parametrize("error", [*ERRORS, ValueError("a bug of a viewer")])
def test_an_event_that_cannot_be_sent_does_not_stop_the_next_batch(
    error: Exception, later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    monkeypatch.setattr(Signature, "apply_async", lambda self, **_: published.append(self.task))
    task: Any = Task(error)
    context: Any = None
    workflow.publish_next(task, context, 7, More("tracks", 4, RESULT, "alice"))
    assert published == ["spotisync.batch"]
    assert later == []
    assert task.request.chain is None


@pytest.mark.parametrize(
    ("came_from", "queue"),
    [
        ("spotisync.backlog", "spotisync.backlog"),
        ("spotisync.interactive", "spotisync.interactive"),
        ("spotisync.sync", "spotisync.sync"),
        ("celery", "spotisync.sync"),
    ],
)
def test_the_next_batch_follows_in_the_queue_of_this_one(
    came_from: str, queue: str, later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    monkeypatch.setattr(Signature, "apply_async", lambda self, **_: published.append(self.options["queue"]))
    task: Any = Task(ValueError("no viewer"))
    task.request.delivery_info = {"routing_key": came_from}
    context: Any = None
    workflow.publish_next(task, context, 7, More("tracks", 4, RESULT, "alice"))
    assert published == [queue]


@pytest.mark.parametrize("orphaned", [True, False])
@pytest.mark.parametrize("redelivered", [True, False])
def test_only_a_redelivered_copy_publishes_the_batch_that_is_due(
    orphaned: bool, redelivered: bool, later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker may have died between the commit and the message. Any other copy would add a second chain."""
    published: list[Any] = []
    run = SimpleNamespace(status="in_progress")
    monkeypatch.setattr(runs, "get_run", lambda *_: run)
    monkeypatch.setattr(workflow, "publish", published.append)
    task: Any = Task(ValueError("no viewer"))
    task.request.delivery_info = {"redelivered": redelivered}
    context: Any = None
    workflow.publish_next(task, context, 7, Stale(orphaned, RESULT))
    assert published == [run] * (orphaned and redelivered)
    assert task.request.chain is None


@pytest.mark.parametrize("error", ERRORS)
def test_a_next_batch_that_cannot_be_published_is_left_to_the_sweep(
    error: Exception, later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Signature, "apply_async", failing(error))
    task: Any = Task(error)
    context: Any = None
    assert workflow.publish_next(task, context, 7, More("tracks", 4, RESULT, "alice")) == RESULT.as_dict()
    assert later == [7]


@pytest.mark.parametrize("error", ERRORS)
def test_a_retry_that_cannot_be_published_is_delivered_again(error: Exception, later: list[int]) -> None:
    """Celery would drop the message, and with it a caller that Postgres does not know yet."""
    task: Any = Task(error)
    context: Any = None
    with pytest.raises(Reject) as raised:
        workflow.publish_next(task, context, 7, outcomes.Retry(3, RESULT))
    assert vars(raised.value)["requeue"]
    with pytest.raises(Reject) as raised, workflow.retry_when_unavailable(task):
        raise Stopping
    assert vars(raised.value)["requeue"]
    task.retry = lambda **_: Retry("in 3 s")
    with pytest.raises(Retry):
        workflow.publish_next(task, context, 7, outcomes.Retry(3, RESULT))
