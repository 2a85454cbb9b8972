"""Redis as hosts run it: with TLS, a password and ACL users, behind Sentinel, and while it refuses writes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.brokers import REDIS, RedisServer
from tests.servers.scenario import RECOVERY_SECONDS, Scenario
from tests.support.waiting import wait_until
from tests.system.command_line import CommandResult, Subprocess
from tests.system.programs import environment

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(REDIS is None, reason="redis-server is not installed"),
]


def doctor(scenario: Scenario) -> CommandResult:
    return Subprocess(environment(scenario.deployment.settings))("doctor", "--json", "--offline")


def say(result: CommandResult, check: str) -> str:
    return str(next(each for each in result.json["findings"] if each["check"] == check))


@pytest.fixture
def redis_server(servers_directory: Path) -> Iterator[RedisServer]:
    server = RedisServer(servers_directory, {"enable-protected-configs": "yes"})
    try:
        yield server.start().wait_ready()
    finally:
        server.kill()


def refuse_snapshots(server: RedisServer, tmp_path: Path) -> Callable[[], None]:
    """As with a full disk: MISCONF. Returns what ends it."""
    gone = tmp_path / "gone"
    gone.mkdir()
    with server.client() as client:
        client.config_set("save", "3600 1")
        client.config_set("dir", str(gone))
        gone.rmdir()
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the failed snapshot")

    def end() -> None:
        with server.client() as client:
            client.config_set("dir", str(server.directory))
            client.bgsave()

    return end


def become_replica(server: RedisServer, tmp_path: Path) -> Callable[[], None]:
    """As after a failover: READONLY. Returns what ends it."""
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)

    def end() -> None:
        with server.client() as client:
            client.replicaof("NO", "ONE")

    return end


@pytest.mark.parametrize(("refuse", "word"), [(refuse_snapshots, "MISCONF"), (become_replica, "read only replica")])
def test_refused_writes_are_waited_for(
    scenario: Callable[..., Scenario],
    redis_server: RedisServer,
    refuse: Callable[[RedisServer, Path], Callable[[], None]],
    word: str,
    tmp_path: Path,
) -> None:
    deployed = scenario(f"redis://127.0.0.1:{redis_server.port}/0")
    running = deployed.start_full_sync()
    end = refuse(redis_server, tmp_path)
    wait_until(lambda: word in deployed.worker.log.read_text(), f"a refusal in {deployed.worker.log}")
    found = doctor(deployed)
    for check in ("broker", "results"):
        assert word in say(found, check)
    assert found.code == 3
    assert deployed.measure_recovery(end) < RECOVERY_SECONDS
    deployed.finish(running)
    assert deployed.beat.process.poll() is None
