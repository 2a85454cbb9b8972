"""Malformed messages in the broker: a worker removes and counts them, and does the work between them."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as options

from spotisync.sync import runs
from tests.support import messages
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment, Program

QUEUE = "spotisync.sync"
# Of the messages in the list, those that kombu reads all the same.
TOLERATED = 1


def broker(deployment: Deployment) -> "redis.Redis":
    address, _, number = deployment.settings.broker.partition("?virtual_host=")
    return redis.Redis(unix_socket_path=address.partition("://")[2], db=int(number))


def push(deployment: Deployment, found: Iterable[bytes]) -> None:
    with broker(deployment) as client:
        for each in found:
            client.lpush(QUEUE, each)


def sync(deployment: Deployment, account: Account) -> Any:
    return deployment.foreign.send_task("spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE)


def is_consumed(deployment: Deployment) -> bool:
    with broker(deployment) as client:
        return not client.llen(QUEUE)


def count_logged(worker: Program) -> int:
    return worker.log.read_text().count("a malformed message")


def assert_never_restarted(worker: Program) -> None:
    assert worker.process.poll() is None
    log = worker.log.read_text()
    assert log.count(" ready.") == 1
    for sign in ("Unrecoverable", "re-establish", "Connection to broker lost"):
        assert sign not in log


@pytest.mark.slow
def test_what_once_ended_a_worker_is_removed_and_counted(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(120)
    account, worker = deployment.account(), deployment.worker()
    poison = messages.poison()
    push(deployment, poison[::2])
    running = sync(deployment, account)
    push(deployment, poison[1::2])
    assert running.get(timeout=60)["status"] == "success"
    wait_until(lambda: is_consumed(deployment), "an empty queue")
    wait_until(lambda: count_logged(worker) >= len(poison) - TOLERATED, "the log of rejected messages")
    wait_until(
        lambda: runs.count_rejections(deployment.context) == count_logged(worker), "the count of rejected messages", 30
    )
    with broker(deployment) as client:
        wait_until(lambda: not client.hlen("unacked"), "no message that a worker holds")
    assert_never_restarted(worker)


def fuzz(deployment: Deployment, examples: int) -> None:
    """Mix random messages with syncs, one after the other."""
    account, worker = deployment.account(), deployment.worker()
    tasks: messages.Tasks = (
        ("spotisync.sweep", {}),
        ("spotisync.full_sync", {"account": account.name}),
        ("spotisync.tell", {}),
    )
    syncs = [sync(deployment, account)]
    sent = 0

    @options(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(messages.items(tasks))
    def send(found: bytes) -> None:
        nonlocal sent
        sent += 1
        push(deployment, [found])
        if sent % (examples // 10) == 0:
            syncs.append(sync(deployment, account))
            wait_until(lambda: is_consumed(deployment), "an empty queue", 120)

    send()
    summaries = [each.get(timeout=120) for each in syncs]
    assert {each["status"] for each in summaries} == {"success"}
    assert sent >= examples
    wait_until(lambda: runs.count_rejections(deployment.context) > examples / 4, "the count of rejected messages", 30)
    assert_never_restarted(worker)
    assert_tables_equal_truth(deployment.context, account, deployment.simulator.world.truth(account.name))


@pytest.mark.slow
def test_random_messages_do_not_disturb_the_work(deploy: Callable[..., Deployment]) -> None:
    fuzz(deploy(60), 150)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_thousand_random_messages_do_not_disturb_the_work(deploy: Callable[..., Deployment]) -> None:
    fuzz(deploy(60), 5_000)
