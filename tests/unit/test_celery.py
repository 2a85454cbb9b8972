"""A child of the worker's pool."""

import ctypes
import gc
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_a_batch_gives_its_memory_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )

    def measure_rss() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def child() -> None:
        blocks = [libc.malloc(1_000) for _ in range(50_000)]
        for block in blocks:
            ctypes.memset(block, 1, 1_000)
        for block in blocks[:-1]:  # the last one is at the end of the heap
            libc.free(block)
        kept = measure_rss()
        worker._return_memory(SimpleNamespace(name="spotisync.sweep"))
        after_another = measure_rss()
        worker._return_memory(SimpleNamespace(name="spotisync.batch"))
        os._exit(0 if after_another > kept - 1_000_000 and measure_rss() < kept - 40_000_000 else 1)

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
