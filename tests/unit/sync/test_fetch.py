"""The requests of a batch that loses its claim leave no thread behind."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from spotisync.core.pace import Turn
from spotisync.core.requests import Request
from spotisync.gate import BatchTurns
from spotisync.sync import fetch as module
from spotisync.sync.calls import BatchCalls
from spotisync.sync.fetch import ClaimLost, fetch
from tests.support.waiting import wait_until


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def turns(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchTurns]:
    del pool  # ends after the turns
    made = BatchTurns()
    monkeypatch.setattr(module, "BatchTurns", lambda: made)
    yield made
    made.close()  # otherwise the pool of a failed test would wait for its thread


@pytest.mark.usefixtures("turns")
def test_no_thread_waits_for_a_cancelled_request(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread becomes free between two cancellations, and begins the request after the cancelled one."""
    futures: list[Future[Any]] = []
    released = threading.Event()
    gate = SimpleNamespace(take_turn=lambda _: Turn(0.0, 1))
    cancel = Future.cancel

    def submit(*args: Any) -> "Future[Any]":
        futures.append(pool.submit(*args))
        return futures[-1]

    def token() -> Any:
        assert released.wait(10)
        return SimpleNamespace(app=SimpleNamespace(gate=gate), value="")

    def cancel_slowly(future: "Future[Any]") -> bool:
        done = cancel(future)
        if future is futures[1]:
            released.set()
            wait_until(lambda: futures[2].running() or futures[2].done(), "the third request")
        return done

    context: Any = SimpleNamespace(
        threads=SimpleNamespace(submit=submit), stopping=lambda: False, settings=SimpleNamespace(lease_seconds=0.1)
    )
    access: Any = SimpleNamespace(token=token)
    monkeypatch.setattr(Future, "cancel", cancel_slowly)
    monkeypatch.setattr(module, "_fetch_one", lambda *_: None)
    with pytest.raises(ClaimLost):
        fetch(context, access, [Request("saved_tracks", offset=50 * n) for n in range(3)], BatchCalls(), lambda: False)
    assert futures[1].cancelled()
    assert not futures[2].cancelled()
    assert pool.submit(lambda: "free").result(timeout=10) == "free"
