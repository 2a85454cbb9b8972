"""A child of the worker's pool."""

import gc
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from spotisync import celery as worker
from spotisync.core import queues
from spotisync.settings import CLOCK_TOLERANCE_SECONDS


@pytest.fixture(autouse=True)
def noted() -> Iterator[None]:
    worker._note_worker_pid()
    yield
    worker._worker_pids.clear()


@pytest.mark.parametrize(
    ("selected", "consumed"),
    [
        (["spotisync.sync"], set(queues.OF_RUNS)),
        (["spotisync.sync", "spotisync.control"], {*queues.OF_RUNS, "spotisync.control"}),
        (["spotisync.sync", "spotisync.interactive"], {"spotisync.sync", "spotisync.interactive"}),
        (["spotisync.playback"], {"spotisync.playback"}),
        ([name for name in queues.WEIGHTS if name != "spotisync.backlog"], set(queues.WEIGHTS) - {"spotisync.backlog"}),
        ([], set(queues.WEIGHTS)),
    ],
)
def test_a_worker_of_the_former_queue_serves_all_runs(
    selected: list[str], consumed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As workers were started before the other queues of runs existed."""
    found = worker.app.amqp.queues
    monkeypatch.setattr(found, "_consume_from", None)
    found.select(selected)
    worker._consume_all_runs(SimpleNamespace(app=worker.app))
    assert set(found.consume_from) == consumed


def exit_code_of_child(work: Callable[[], None]) -> int:
    if (pid := os.fork()) == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_messages_of_beat_reach_workers_whose_clocks_are_ahead() -> None:
    expiries = [entry["options"]["expires"] for entry in worker.app.conf.beat_schedule.values()]
    assert expiries
    assert min(expiries) >= CLOCK_TOLERANCE_SECONDS


def test_a_child_of_the_worker_starts() -> None:
    assert exit_code_of_child(worker._exit_with_parent) == 0


def test_a_child_collects_no_garbage_among_the_modules() -> None:
    def child() -> None:
        worker._tune_garbage_collection()
        os._exit(0 if gc.get_freeze_count() > 10_000 and len(gc.get_objects()) < 1_000 else 1)

    assert exit_code_of_child(child) == 0


def test_a_child_whose_worker_is_gone_exits() -> None:
    def orphan() -> None:
        """The child of this process is not the worker; its own child is."""
        os._exit(exit_code_of_child(worker._exit_with_parent))

    assert exit_code_of_child(orphan) == 1


def test_a_child_starts_while_the_transport_raises_its_own_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_task(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("broken pipe")

    monkeypatch.setattr(worker, "_exit_with_parent", lambda: None)
    monkeypatch.setattr(worker, "_tune_garbage_collection", lambda: None)
    monkeypatch.setattr(worker.app, "send_task", send_task)
    worker._start_child()
