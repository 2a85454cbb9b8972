"""Callers that can't be answered."""

from typing import Any

import pytest

from spotisync import callers
from spotisync.store.waiters import Waiter
from spotisync.sync import Context, runs
from spotisync.sync.callers import Caller
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store


@pytest.mark.parametrize("poisoned", [5, 30])
def test_callers_that_cannot_be_answered_do_not_delay_the_others(
    poisoned: int, context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links with a serializer that this worker lacks, for example: publishing raises at each attempt."""
    run = driver.start(context, account)
    for task_id in (*(f"bad{number}" for number in range(poisoned)), "good"):
        runs.trigger(context, account.name, "full", "task", caller=Caller(task_id, {"id": task_id}))
    runs.cancel(context, run.id)
    answered: list[str] = []

    def answer_one(_: Any, waiter: Waiter) -> None:
        if waiter.task_id.startswith("bad"):
            raise RuntimeError("SerializerNotInstalled: msgpack")
        answered.append(waiter.task_id)

    monkeypatch.setattr(callers, "_answer_one", answer_one)
    store = Store(context.database)
    sweeps = 0
    while not answered and sweeps < 20:
        sweeps += 1
        callers.answer(context)
        store.sql("UPDATE waiters SET wake_at = wake_at - interval '10 seconds'")
    assert answered == ["good"]
    assert sweeps <= poisoned // callers.MAX_FAILURES + 1
