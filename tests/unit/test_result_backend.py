"""The result backend on a Redis that loses everything, expires keys, or is away. Redis is fakeredis."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
from celery import Celery, states
from celery.backends.redis import RedisBackend
from celery.result import AsyncResult

from spotisync import result_backend
from spotisync.store.waiters import Waiter

# Celery stores results with it.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")
EXPIRES = 86_400
BROKEN = 13


@dataclass
class Callers:
    """What `spotisync.sync.callers` would read from and write to Postgres."""

    losses: list[float] = field(default_factory=list)
    lost: list[Waiter] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    renewed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails: bool = False

    def record_result_loss(self, _: Any, seconds: float) -> None:
        if self.fails:
            raise OSError("Postgres is away")
        self.losses.append(seconds)

    def claim_lost_results(self, _: Any) -> list[Waiter]:
        return self.lost

    def mark_restored(self, _: Any, waiter: Waiter) -> None:
        self.restored.append(waiter.task_id)

    def claim_for_renewal(self, _: Any) -> list[tuple[str, dict[str, Any]]]:
        return self.renewed


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> Callers:
    made = Callers()
    monkeypatch.setattr(result_backend, "callers", made)
    monkeypatch.setattr(result_backend, "status", SimpleNamespace(summary=summary))
    return made


def summary(_: Any, sync_id: int) -> dict[str, Any]:
    if sync_id == BROKEN:
        raise ValueError("its summary can't be read")
    return {"sync_id": sync_id}


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def redis(server: fakeredis.FakeServer) -> Iterator[fakeredis.FakeStrictRedis]:
    with fakeredis.FakeStrictRedis(server=server) as client:
        yield client


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, redis: fakeredis.FakeStrictRedis) -> Celery:
    made = Celery("test", backend="redis://redis", set_as_current=False)
    made.conf.result_expires = EXPIRES
    monkeypatch.setattr(RedisBackend, "client", redis)
    monkeypatch.setattr(result_backend, "app", made)
    return made


@pytest.fixture
def maintain(callers: Callers, app: Celery) -> Callable[..., None]:
    def run(database: str = "postgresql+psycopg://user:secret@host/one") -> None:
        context: Any = SimpleNamespace(
            settings=SimpleNamespace(database=database), database=SimpleNamespace(begin=nullcontext)
        )
        result_backend.maintain(context)

    return run


# ---- the sentinel ---------------------------------------------------------------------------------------------------


def test_a_loss_is_recorded_once(maintain: Any, callers: Callers, redis: fakeredis.FakeStrictRedis) -> None:
    for _ in range(3):
        maintain()
    assert callers.losses == [EXPIRES]
    (sentinel,) = redis.keys("spotisync-results-*")
    assert redis.ttl(sentinel) == -1, "it never expires"
    redis.flushall()
    for _ in range(3):
        maintain()
    assert callers.losses == [EXPIRES] * 2


def test_a_loss_is_recorded_before_the_sentinel_is_set(
    maintain: Any, callers: Callers, redis: fakeredis.FakeStrictRedis
) -> None:
    callers.fails = True
    maintain()
    assert redis.keys() == []
    callers.fails = False
    maintain()
    assert callers.losses == [EXPIRES]


def test_each_database_has_a_sentinel_of_its_own(maintain: Any, callers: Callers) -> None:
    maintain("postgresql+psycopg://user:secret@host/one")
    maintain("postgresql+psycopg://user:secret@host/two")
    assert callers.losses == [EXPIRES] * 2


def test_while_redis_is_away_no_loss_is_recorded(
    maintain: Any, callers: Callers, server: fakeredis.FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    maintain()
    server.connected = False
    maintain()
    assert callers.losses == [EXPIRES]
    assert len(caplog.records) == 1
    server.connected = True
    maintain()
    assert callers.losses == [EXPIRES]


# ---- lost results ---------------------------------------------------------------------------------------------------


def waiter(task_id: str, status: str = "success", sync_id: int = 7, **envelope: Any) -> Waiter:
    return Waiter(task_id, sync_id, envelope, 1, status, None if status == "success" else "no reason", 0.0)


def test_lost_results_are_stored_again(maintain: Any, callers: Callers, app: Celery) -> None:
    link = {"options": {"task_id": "follow-up"}}
    callers.lost = [waiter("done"), waiter("gone", "cancelled", chain=[link]), waiter("deaf", ignore_result=True)]
    maintain()
    assert callers.restored == ["done", "gone", "deaf"]
    assert AsyncResult("done", app=app).get() == {"sync_id": 7}
    for task_id in ("gone", "follow-up"):
        assert "run 7 cancelled: no reason" in str(AsyncResult(task_id, app=app).result)
    assert str(AsyncResult("deaf", app=app).state) == states.PENDING


def test_restores_the_others_when_one_result_cannot_be_stored(maintain: Any, callers: Callers) -> None:
    callers.lost = [waiter("bad", sync_id=BROKEN), waiter("good")]
    maintain()
    assert callers.restored == ["good"]


# ---- keys that would expire while a caller waits --------------------------------------------------------------------


def test_keys_of_a_waiting_caller_live_on(
    maintain: Any, callers: Callers, app: Celery, redis: fakeredis.FakeStrictRedis
) -> None:
    backend: Any = app.backend
    counters = [backend.get_key_for_group("its group", part) for part in (".s", ".j", ".t")]
    for key in counters:
        redis.set(key, "1", ex=60)
    callers.renewed = [("waiting", {"group": "its group"})]
    maintain()
    assert {redis.ttl(key) for key in counters} == {EXPIRES}
    assert redis.ttl(backend.get_key_for_task("waiting")) == EXPIRES
    assert str(AsyncResult("waiting", app=app).state) == result_backend.SYNCING


def test_a_renewal_overwrites_no_answer(maintain: Any, callers: Callers, app: Celery) -> None:
    app.backend.store_result("answered", {"sync_id": 7}, states.SUCCESS)
    callers.renewed = [("answered", {})]
    maintain()
    assert AsyncResult("answered", app=app).get() == {"sync_id": 7}
