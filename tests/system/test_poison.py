"""Malformed messages in the broker: a worker removes and counts them, and does the work between them."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
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


@pytest.mark.slow
def test_a_false_report_of_rejections_is_not_counted(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(60)
    worker = deployment.worker()
    reports = [2**31, 1e308, float("inf"), -1, "x", 3]
    push(deployment, [messages.dump(messages.envelope("spotisync.sweep", {"rejected": each})) for each in reports])
    wait_until(lambda: runs.count_rejections(deployment.context) == 3, "the plausible report")
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


def timed(seconds: float, task: str = "spotisync.sweep", **kwargs: Any) -> bytes:
    message = messages.envelope(task, kwargs)
    message["headers"]["eta"] = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    return messages.dump(message)


def resident_megabytes(worker: Program) -> float:
    return int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.slow
def test_messages_for_later_fill_no_memory_and_block_no_work(deploy: Callable[..., Deployment]) -> None:
    """A trigger in two hours is kept; of thousands of others, as many as have room."""
    deployment = deploy(60, max_countdown=30)
    account, worker = deployment.account(), deployment.worker()
    in_two_hours = deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE, countdown=7_200
    )
    wait_until(lambda: is_consumed(deployment), "the first message")

    def flood(seconds: float, count: int) -> float:
        push(deployment, [timed(seconds + number) for number in range(count)])
        wait_until(lambda: is_consumed(deployment), "an empty queue", 120)
        assert sync(deployment, account).get(timeout=60)["status"] == "success"
        return resident_megabytes(worker)

    flood(4_000, 1_500)
    full = flood(1e8, 1_500)
    assert flood(1e9, 4_000) - full < 8
    soon = deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account.name}, queue=QUEUE, countdown=2
    )
    assert soon.get(timeout=60)["status"] == "success"
    with broker(deployment) as client:
        wait_until(lambda: client.hlen("unacked") == 2_000, "no other message that the worker holds")
        assert sum(in_two_hours.id.encode() in each for each in client.hvals("unacked")) == 1
    assert worker.log.read_text().count("a surplus message") == 5_001
    wait_until(lambda: runs.count_rejections(deployment.context) == 5_001, "the count of surplus messages", 30)
    assert_never_restarted(worker)


@pytest.mark.slow
def test_a_message_delivered_again_is_held_once(deploy: Callable[..., Deployment]) -> None:
    """Redis delivers what is not acknowledged within the visibility timeout again, with the same tag."""
    deployment = deploy(60)
    account, worker = deployment.account(), deployment.worker()
    later = timed(5, "spotisync.full_sync", account=account.name)
    push(deployment, [later] * 20)
    wait_until(lambda: is_consumed(deployment), "an empty queue")
    finished = "SELECT count(*) FROM sync_history WHERE status = 'success'"
    wait_until(lambda: deployment.scalar(finished) == 1, "the run")
    assert worker.log.read_text().count("Task spotisync.full_sync[") == 2  # received, and done
    with broker(deployment) as client:
        wait_until(lambda: not client.hlen("unacked"), "no message that a worker holds")
    assert_never_restarted(worker)


@pytest.mark.slow
def test_remote_control_survives_malformed_commands(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(60)
    account, worker = deployment.account(), deployment.worker()
    poison = [*messages.control_poison(), *map(messages.broadcast, messages.QUESTIONS)]
    channel = f"/{deployment.settings.broker.rpartition('=')[2]}.celery.pidbox"
    with broker(deployment) as client:
        wait_until(lambda: client.publish(channel, messages.broadcast({"method": "clock"})), "a worker that listens")
        heard = [client.publish(channel, each) for each in poison]
    assert set(heard) == {1}
    undecodable = 3  # of which kombu itself tells in the log
    expected = len(messages.control_poison()) - undecodable - TOLERATED
    wait_until(lambda: count_removed(worker) >= expected, "the log of rejections")
    assert sync(deployment, account).get(timeout=60)["status"] == "success"
    control = deployment.foreign.control
    (queues,) = (control.inspect(timeout=5).active_queues() or {}).values()
    assert len(queues) == 6
    assert len(control.ping(timeout=2) or []) == 1
    assert_never_restarted(worker)
    (answer,) = control.rate_limit("spotisync.tell", "5/m", reply=True, timeout=5) or [{}]
    assert next(iter(answer.values())) == {"ok": "new rate limit set successfully"}
    control.revoke("no such task")
    control.shutdown()
    wait_until(lambda: worker.process.poll() is not None, "the worker to stop as it was told")


def count_removed(worker: Program) -> int:
    return worker.log.read_text().count("was removed from the broker")


@pytest.mark.slow
def test_wrong_arguments_of_a_batch_are_not_retried(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(60)
    account, worker = deployment.account(), deployment.worker()
    good: dict[str, Any] = {"sync_id": 1, "phase": "tracks", "seq": 0}
    wrong: dict[str, list[Any]] = {
        "sync_id": ["x", [], {"a": 1}, None, 1.5, 2**70], "phase": [1.5, [], "x", "a\0b"], "seq": ["x", -1, 2**31, {}],
    }  # fmt: skip
    changed = [{**good, name: value} for name, values in wrong.items() for value in values]
    push(deployment, [messages.dump(messages.envelope("spotisync.batch", each)) for each in changed])
    push(deployment, [messages.dump(messages.envelope("spotisync.finish", {"sync_id": each})) for each in wrong["seq"]])
    sync(deployment, account).get(timeout=60)
    wait_until(lambda: is_consumed(deployment), "an empty queue")
    with broker(deployment) as client:
        wait_until(lambda: not client.hlen("unacked"), "no message that is to be retried")
    assert "retrying spotisync" not in worker.log.read_text()
    assert_never_restarted(worker)
