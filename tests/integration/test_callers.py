"""Callers that can't be answered: they wait longer and longer, and are given up in the end."""

from typing import Any

import pytest
from celery.backends.cache import CacheBackend
from kombu.exceptions import OperationalError
from redis.exceptions import ResponseError

from spotisync import callers, result_backend
from spotisync.celery import app
from spotisync.errors import SyncFailed
from spotisync.store.waiters import Waiter
from spotisync.sync import Context, runs
from spotisync.sync.callers import Caller
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store

ERRORS = (
    RuntimeError("SerializerNotInstalled: msgpack"),
    ResponseError("Command # 1 (ZADD …) of pipeline caused error: WRONGTYPE Operation against a key"),
)


@pytest.mark.parametrize("poisoned", [5, 150])
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
            raise ERRORS[len(waiter.task_id) % 2]
        answered.append(waiter.task_id)

    monkeypatch.setattr(callers, "_answer_one", answer_one)
    callers.answer(context)
    assert answered == ["good"]
    failures = "SELECT count(*) FROM waiters WHERE failures = 1 AND answered_at IS NULL"
    assert Store(context.database).one(failures) == poisoned


def test_an_answer_ends_after_a_few_attempts_while_a_server_is_away(
    context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driver.start(context, account)
    for number in range(10):
        runs.trigger(context, account.name, "full", "task", caller=Caller(f"c{number}", {"id": f"c{number}"}))
    runs.cancel(context, run.id)
    fail(monkeypatch, OperationalError("the broker is away"))
    callers.answer(context)
    assert Store(context.database).one("SELECT count(*) FROM waiters WHERE tries = 1") == callers.MAX_OUTAGES


@pytest.fixture
def poisoned(context: Context, account: Account) -> Store:
    """A finished run with one caller."""
    runs.trigger(context, account.name, "full", "task", caller=Caller("bad", {"id": "bad"}))
    runs.cancel(context, Store(context.database).one("SELECT id FROM sync_history"))
    return Store(context.database)


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def answer_one(*_: Any) -> None:
        raise error

    monkeypatch.setattr(callers, "_answer_one", answer_one)


def attempt(context: Context, store: Store) -> float:
    """Answer once; return the seconds until the next attempt."""
    store.sql("UPDATE waiters SET wake_at = now()")
    callers.answer(context)
    return float(store.one("SELECT EXTRACT(epoch FROM wake_at - now()) FROM waiters"))


def test_attempts_to_answer_back_off_to_hours_and_end_with_a_failure(
    context: Context, poisoned: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail(monkeypatch, ValueError("no serializer \x00"))
    stored: list[tuple[str, object]] = []
    monkeypatch.setattr(result_backend, "store_result", lambda waiter, result: stored.append((waiter.task_id, result)))
    pauses = [attempt(context, poisoned) for _ in range(callers.MAX_ATTEMPTS - 1)]
    assert [round(each) for each in pauses[:4]] == pytest.approx([3, 6, 12, 24], abs=1)
    assert pauses[-1] == pytest.approx(4 * 3600, abs=2)
    assert sum(pauses) > 24 * 3600
    assert stored == []
    attempt(context, poisoned)
    ((task_id, result),) = stored
    assert task_id == "bad"
    assert isinstance(result, SyncFailed)
    assert "its answer can't be sent: ValueError: no serializer" in str(result)
    assert poisoned.one("SELECT answered_at IS NOT NULL FROM waiters")
    assert "caller bad of run" in caplog.text
    assert "is given up after 20 attempts" in caplog.text


def test_a_result_that_cannot_be_stored_does_not_prevent_giving_up(
    context: Context, poisoned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, ValueError("no serializer"))
    monkeypatch.setattr(result_backend, "store_result", lambda *_: 1 / 0)
    poisoned.sql("UPDATE waiters SET failures = 19")
    attempt(context, poisoned)
    assert poisoned.one("SELECT unanswerable FROM waiters") == "ValueError: no serializer"


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_outage_is_no_reason_to_give_a_caller_up(
    wrapped: bool, context: Context, poisoned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = OperationalError("the broker is away")
    raised = RuntimeError("retry limit exceeded")  # by Celery's Redis backend, from the error of its connection
    raised.__cause__ = outage
    fail(monkeypatch, raised if wrapped else outage)
    poisoned.sql("UPDATE waiters SET tries = 100, failures = 19")
    assert attempt(context, poisoned) == pytest.approx(60, abs=1)
    assert poisoned.one("SELECT answered_at IS NULL AND failures = 19 FROM waiters")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain", 5),
        ("chain", ["task"]),
        ("chain", [{"task": "foreign.follow_up"}, {}]),
        ("errbacks", {"a": 1}),
        ("errbacks", [{"task": 5}]),
        ("errbacks", [{"task": "celery.group", "subtask_type": "group", "kwargs": {"tasks": [7]}}]),
        ("callbacks", [{"task": "celery.chord", "subtask_type": "chord", "kwargs": {"header": []}}]),
        ("callbacks", [{"task": "foreign.follow_up", "options": 5}]),
        ("callbacks", [{"task": "foreign.follow_up", "subtask_type": "unknown"}]),
    ],
)
def test_malformed_follow_ups_end_the_caller_at_once(
    field: str, value: Any, context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.trigger(context, account.name, "full", "task", caller=Caller("bad", {"id": "bad", field: value}))
    store = Store(context.database)
    runs.cancel(context, store.one("SELECT id FROM sync_history"))
    stored: list[object] = []
    monkeypatch.setattr(result_backend, "store_result", lambda _, result: stored.append(result))
    attempt(context, store)
    (result,) = stored
    assert isinstance(result, SyncFailed)
    assert f"{field} of its message is malformed" in str(result)
    assert store.one("SELECT answered_at IS NOT NULL AND unanswerable LIKE '%malformed%' FROM waiters")


def test_a_second_attempt_sends_only_what_the_first_did_not(
    context: Context, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one ends between the follow-ups and the result; a worker has started one of them meanwhile."""
    callbacks: list[dict[str, Any]] = [
        {"task": name, "args": [], "kwargs": {}, "options": {"task_id": name}} for name in ("seen", "unseen")
    ]
    envelope = {"id": "caller", "task": "spotisync.full_sync", "errbacks": callbacks}
    run = runs.trigger(context, account.name, "full", "task", caller=Caller("caller", envelope)).run
    runs.cancel(context, run.id)
    sent: list[str] = []
    monkeypatch.setattr(app, "_backend_cache", CacheBackend(app, url="memory://"))
    monkeypatch.setattr(app.amqp, "send_task_message", lambda _, name, *__, **___: sent.append(name))
    monkeypatch.setattr(result_backend, "_send", lambda *_, **__: None)
    with monkeypatch.context() as patch:
        patch.setattr(result_backend, "store_result", lambda *_: 1 / 0)
        attempt(context, Store(context.database))
    app.backend.store_result("seen", None, "STARTED")
    attempt(context, Store(context.database))
    assert sent == ["seen", "unseen", "unseen"]
    assert Store(context.database).one("SELECT answered_at IS NOT NULL FROM waiters")
