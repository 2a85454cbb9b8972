"""RabbitMQ, whose queues may be quorum queues by default: https://github.com/celery/kombu/issues/2469"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from amqp import Message

from spotisync.sync import runs
from tests.servers.brokers import RABBITMQ, RabbitMQ
from tests.servers.scenario import RECOVERY_SECONDS, Scenario
from tests.support import messages
from tests.support.waiting import wait_until
from tests.system.command_line import Subprocess
from tests.system.programs import environment

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not RABBITMQ.exists(), reason="rabbitmq-server is not installed"),
    pytest.mark.xdist_group("rabbitmq"),
]


@pytest.fixture(scope="module")
def rabbitmq(servers_directory: Path, certificate: Path) -> Iterator[RabbitMQ]:
    directory = servers_directory / "rabbitmq"
    directory.mkdir()
    node = RabbitMQ(directory, certificate)
    try:
        yield node.start().wait_ready()
    finally:
        node.stop()


@pytest.mark.parametrize("vhost", ["classic", "quorum"])
def test_syncs_end_with_the_truth(
    scenario: Callable[..., Scenario], rabbitmq: RabbitMQ, results_url: str, vhost: str
) -> None:
    deployed = scenario(rabbitmq.url(vhost), result_backend=results_url)
    for _ in range(5):  # more than a worker prefetches
        deployed.deployment.foreign.send_task("spotisync.enrich", queue="spotisync.sync", countdown=600)
    deployed.run()
    deployed.check_flower(counts_messages=False)  # that needs RabbitMQ's management plugin
    found = {queue[0]: queue[1:] for queue in rabbitmq.list_queues(vhost, "name", "type", "durable", "exclusive")}
    assert found["spotisync.sync"][0] == vhost
    # RabbitMQ 4.3 refuses queues that are neither durable nor exclusive.
    assert [name for name, (_, durable, exclusive) in found.items() if "true" not in (durable, exclusive)] == []
    doctor = Subprocess(environment(deployed.deployment.settings))("doctor", "--json", "--offline")
    states = {each["check"]: each["state"] for each in doctor.json["findings"]}
    assert (states["broker"], states["results"], states["workers"]) == ("ok", "ok", "ok")


def test_amqps_verifies_the_certificate(
    scenario: Callable[..., Scenario], rabbitmq: RabbitMQ, results_url: str, certificate: Path
) -> None:
    url = rabbitmq.tls_url("classic")
    deployed = scenario(f"{url}?ssl_ca_certs={certificate}", 100, api_rate=10_000, result_backend=results_url)
    deployed.finish(deployed.start_full_sync(1))
    command = Subprocess({**environment(deployed.deployment.settings), "SPOTISYNC_BROKER_URL": url})
    findings = {each["check"]: each for each in command("doctor", "--json", "--offline").json["findings"]}
    assert findings["broker"]["state"] == "failed"
    assert "ssl_ca_certs" in str(findings["broker"])


def test_malformed_messages_are_removed(
    scenario: Callable[..., Scenario], rabbitmq: RabbitMQ, results_url: str
) -> None:
    """Those of the list for Redis that RabbitMQ's protocol can carry."""
    deployed = scenario(rabbitmq.url("classic"), result_backend=results_url)
    running = deployed.start_full_sync()
    sent = 0
    with deployed.deployment.foreign.connection_for_write() as connection:
        channel: Any = connection.default_channel
        for message in messages.poison_of_tasks():
            channel.basic_publish(
                Message(
                    message["body"] if isinstance(message["body"], bytes) else json.dumps(message["body"]),
                    content_type="application/json", content_encoding="utf-8", application_headers=message["headers"],
                ),
                exchange="", routing_key="spotisync.sync",
            )  # fmt: skip
            sent += 1
    deployed.finish(running)
    wait_until(lambda: deployed.deployment.logs().count("a malformed message") >= sent, "the rejections")
    assert "Unrecoverable" not in deployed.deployment.logs()
    wait_until(lambda: runs.count_rejections(deployed.deployment.context) >= sent, "the count of rejections")


@pytest.mark.parametrize("vhost", ["classic", "quorum"])
def test_a_run_continues_soon_after_a_restart_of_the_node(
    scenario: Callable[..., Scenario], rabbitmq: RabbitMQ, results_url: str, vhost: str
) -> None:
    deployed = scenario(rabbitmq.url(vhost), result_backend=results_url)
    # RabbitMQ 3.10 loses a quorum queue if its node is killed in the moment after its declaration.
    deployed.finish(deployed.start_full_sync())
    running = deployed.start_full_sync()

    def restart() -> None:
        rabbitmq.kill()
        rabbitmq.start().wait_ready()

    assert deployed.measure_recovery(restart) < RECOVERY_SECONDS
    deployed.finish(running)
