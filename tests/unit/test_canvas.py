"""Messages that the broker does not accept are left to the sweep or to beat."""

from dataclasses import replace
from typing import Any

import pytest
from celery.canvas import Signature

from spotisync import canvas, tasks
from spotisync.celery import app
from spotisync.core import queues
from spotisync.store.runs import Run
from spotisync.sync.schedule import PlaybackDue
from tests.unit.test_workflow import ERRORS, failing

RUN: Any = Run(7, 1, "alice", "full", "cli", "in_progress", "finish", 0, "library", 0, False, None, "active", 0)


@pytest.mark.parametrize("error", ERRORS)
def test_a_transport_error_is_not_raised(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Signature, "apply_async", failing(error))
    monkeypatch.setattr(app, "send_task", failing(error))
    assert canvas.publish(RUN) is False
    canvas.dispatch(PlaybackDue("alice", 60))
    canvas.request_sweep()
    canvas.request_enrich()


def test_results_that_no_caller_reads_are_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Any = canvas.canvas(replace(RUN, phase="tracks"))
    assert [link.options["ignore_result"] for link in whole.tasks] == [True] * 5
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(app, "send_task", lambda _, **options: sent.append(options))
    canvas.dispatch(PlaybackDue("alice", 60))
    assert sent[0]["ignore_result"] is True


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("sync_type", ["full", "incremental"])
def test_all_links_of_a_run_go_to_its_queue(sync_type: str, asked: bool) -> None:
    whole: Any = canvas.canvas(replace(RUN, phase="tracks", sync_type=sync_type, asked=asked))
    expected = queues.get_queue(sync_type, asked=asked)
    assert [link.options["queue"] for link in whole.tasks] == [expected] * 5


def test_a_sweep_adds_no_copies_to_a_long_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a worker, each sweep would add some for ever."""
    length = canvas.MOST_MESSAGES
    published: list[int] = []
    later: list[int] = []

    def publish(run: Run) -> bool:
        published.append(run.id)
        return True

    monkeypatch.setattr(tasks, "context", lambda: None)
    monkeypatch.setattr("spotisync.sync.runs.take_due_runs", lambda *_, **__: [RUN])
    monkeypatch.setattr("spotisync.sync.runs.publish_later", lambda _, id_: later.append(id_))
    for rest in ("spotisync.callers.answer", "spotisync.result_backend.maintain"):
        monkeypatch.setattr(rest, lambda *_: None)
    monkeypatch.setattr(canvas, "get_queue_lengths", lambda *_: {"one": 1, "other": length - 1})
    monkeypatch.setattr(canvas, "publish", publish)
    tasks.sweep()
    assert (published, later) == ([], [7])
    length -= 1
    tasks.sweep()
    assert (published, later) == ([7], [7])


@pytest.mark.parametrize("error", ERRORS)
def test_a_broker_that_is_away_has_no_room(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "get_queue_lengths", failing(error))
    assert not canvas.has_room()
