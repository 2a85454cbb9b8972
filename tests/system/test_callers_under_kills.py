"""Processes die while callers wait or are answered: each follow-up runs at least once, under its assigned id."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import chain
from celery.result import AsyncResult

from spotisync.stack.valkey import Valkey
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import ANSWERING, Deployment, ForeignService

Deploy = Callable[..., Deployment]
Promised = dict[str, str]
CALLERS = 10


def ten_callers(others: ForeignService, account: Account) -> "dict[str, AsyncResult[Any]]":
    """Send joined triggers, each with its own chain; return when all have a row."""
    deployment = others.deployment
    deployment.simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    ends = {
        f"n{number}": chain(
            others.full_sync(account),
            others.follow_up(f"n{number}"),
            others.signature("foreign.pass_on", tag=f"n{number}"),
            app=deployment.foreign,
        ).apply_async()
        for number in range(CALLERS)
    }
    wait_until(lambda: deployment.scalar("SELECT count(*) FROM waiters") == CALLERS, "ten waiters")
    wait_until(deployment.simulator.control.held_requests, "the first request")
    return ends


def check_all_ran(others: ForeignService, promised: Promised, account: Account, most: int | None = None) -> None:
    """Check the calls instead of the results, which a test may have deleted."""

    def all_of_them() -> bool:
        nudge(others.deployment)
        return all(others.called(tag) for tag in promised)

    wait_until(all_of_them, "every follow-up", seconds=90)
    for tag, task_id in promised.items():
        calls = [line.split() for line in others.called(tag)]
        assert {call[1] for call in calls} == {"success"}
        assert {call[3] for call in calls} == {task_id}
        assert len(calls) <= (most or len(calls))
    assert_tables_equal_truth(others.deployment.context, account, others.deployment.simulator.world.truth(account.name))


def nudge(deployment: Deployment) -> None:
    """Make unanswered callers due at once. Without this their retry would wait for a minute."""
    deployment.sql("UPDATE waiters SET wake_at = now() WHERE answered_at IS NULL AND wake_at > now()")


def promises(ends: "dict[str, AsyncResult[Any]]") -> Promised:
    return {tag: str(_parent(end).id) for tag, end in ends.items()}


def _parent(result: "AsyncResult[Any]") -> "AsyncResult[Any]":
    assert isinstance(result.parent, AsyncResult)
    return result.parent


def fire(deploy: Deploy, tmp_path: Path, points: list[str]) -> None:
    deployment = deploy(120)
    account = deployment.account()
    orders = tmp_path / "crash"
    deployment.beat()
    deployment.worker("tests.system.crashing", CRASH_FILE=str(orders))
    others = ForeignService(deployment, tmp_path)
    ends = ten_callers(others, account)
    orders.write_text(f"{points[0]} answer")
    deployment.simulator.control.release()
    for point in [*points[1:], None]:
        wait_until(lambda: not orders.exists(), "the kill")
        if point:
            orders.write_text(f"{point} answer")
        nudge(deployment)
    for tag, end in ends.items():
        wait_until(partial(_ready, others, end), f"the end of {tag}")
        assert end.get(timeout=60) == tag
        assert _sync_of(end).get(timeout=60)["status"] == "success"
    check_all_ran(others, promises(ends), account)


def _ready(others: ForeignService, end: "AsyncResult[Any]") -> bool:
    nudge(others.deployment)
    return end.ready()


def _sync_of(end: "AsyncResult[Any]") -> "AsyncResult[Any]":
    return _parent(_parent(end))


@pytest.mark.slow
def test_answers_ten_callers_although_the_answering_process_is_killed(deploy: Deploy, tmp_path: Path) -> None:
    fire(deploy, tmp_path, list(ANSWERING))


@pytest.mark.chaos
@pytest.mark.parametrize("point", ANSWERING)
def test_answers_callers_despite_a_kill_at_each_caller(point: str, deploy: Deploy, tmp_path: Path) -> None:
    fire(deploy, tmp_path, [point] * CALLERS if point == "before_links" else [point] * (CALLERS - 1))


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_answers_callers_despite_repeated_kills_of_children(deploy: Deploy, tmp_path: Path) -> None:
    deployment = deploy(120)
    account = deployment.account()
    deployment.beat()
    worker = deployment.worker()
    others = ForeignService(deployment, tmp_path)
    ends = ten_callers(others, account)
    deployment.simulator.control.release()
    for _ in range(12):
        wait_until(worker.children, "children")
        for pid in worker.children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        answered = _answered(deployment)
        with suppress(AssertionError):
            wait_until(partial(_more, deployment, answered), "an answered caller", seconds=1)
        if answered == CALLERS:
            break
    check_all_ran(others, promises(ends), account)


def _answered(deployment: Deployment) -> int:
    return int(deployment.scalar("SELECT count(*) FROM waiters WHERE answered_at IS NOT NULL"))


def _more(deployment: Deployment, answered: int) -> bool:
    nudge(deployment)
    return _answered(deployment) > answered


@pytest.mark.chaos
def test_answers_ten_callers_although_the_broker_lost_everything(
    deploy: Deploy, broker_url: str, tmp_path: Path
) -> None:
    deployment = deploy(120)
    account = deployment.account()
    deployment.beat()
    deployment.worker()
    others = ForeignService(deployment, tmp_path)
    ends = ten_callers(others, account)
    socket, _, number = broker_url.removeprefix("redis+socket://").partition("?virtual_host=")
    with redis.Redis(unix_socket_path=socket, db=int(number)) as client:
        client.flushdb()
        deployment.simulator.control.release()
        for tag, end in ends.items():
            assert end.get(timeout=60) == tag
        client.flushdb()
    for end in ends.values():
        assert AsyncResult(_sync_of(end).id, app=deployment.foreign).get(timeout=60)["status"] == "success"
    check_all_ran(others, promises(ends), account, most=1)


@pytest.mark.chaos
def test_answers_ten_callers_although_the_broker_restarted_empty(
    deploy: Deploy, own_valkey: Valkey, own_place: Path, tmp_path: Path
) -> None:
    deployment = deploy(120, broker=f"redis+socket://{own_place}/run/valkey.sock?virtual_host=0")
    account = deployment.account()
    deployment.beat()
    deployment.worker()
    others = ForeignService(deployment, tmp_path)
    promised = promises(ten_callers(others, account))
    own_valkey.kill()
    for file in (*(own_place / "data").rglob("*.aof"), *(own_place / "data").rglob("*.manifest")):
        file.unlink()
    own_valkey.start().wait_ready()
    deployment.simulator.control.release()
    check_all_ran(others, promised, account)
