"""Redis as hosts run it: with TLS, a password and ACL users, behind Sentinel, and while it refuses writes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spotisync.stack.process import stop_all
from tests.servers.brokers import PASSWORD, REDIS, SENTINEL, RedisServer, Sentinel
from tests.servers.scenario import RECOVERY_SECONDS, Scenario
from tests.support.ports import free_port
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


def fill_memory(server: RedisServer, tmp_path: Path) -> Callable[[], None]:
    """OOM. Returns what ends it."""
    with server.client() as client:
        client.config_set("maxmemory", "1")

    def end() -> None:
        with server.client() as client:
            client.config_set("maxmemory", "0")

    return end


@pytest.mark.parametrize(
    ("refuse", "word"),
    [(refuse_snapshots, "MISCONF"), (become_replica, "read only replica"), (fill_memory, "command not allowed")],
)
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


@pytest.fixture(scope="module")
def tls_server(servers_directory: Path, certificate: Path) -> Iterator[RedisServer]:
    """With a password for administrators, and a user for spotisync, who may do nothing that Redis calls dangerous."""
    tls = free_port()
    options = {
        "port": "0",
        "tls-port": str(tls),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(certificate.with_suffix(".key")),
        "tls-auth-clients": "no",
        "requirepass": "of-the-administrator",
        "user": f"spotisync on >{PASSWORD} ~* &* +@all -@dangerous +info",
    }
    login = {"port": tls, "ssl": True, "ssl_ca_certs": str(certificate), "password": "of-the-administrator"}
    server = RedisServer(servers_directory, options, name="redis-tls", **login)
    server.port = tls
    try:
        yield server.start().wait_ready()
    finally:
        server.kill()


def test_tls_with_a_password_and_acl(
    scenario: Callable[..., Scenario], tls_server: RedisServer, certificate: Path
) -> None:
    url = f"rediss://spotisync:{PASSWORD}@127.0.0.1:{tls_server.port}/0"
    deployed = scenario(f"{url}?ssl_ca_certs={certificate}")
    deployed.run()
    deployed.check_flower()
    assert '"failed"' not in say(doctor(deployed), "broker")


def test_tls_without_verification(scenario: Callable[..., Scenario], tls_server: RedisServer) -> None:
    url = f"rediss://spotisync:{PASSWORD}@127.0.0.1:{tls_server.port}/0"
    deployed = scenario(f"{url}?ssl_cert_reqs=CERT_NONE", 100, api_rate=10_000)
    deployed.finish(deployed.start_full_sync(1))
    deployed.check_flower()
    assert "pacing in this process only" not in deployed.worker.log.read_text()
    command = Subprocess({**environment(deployed.deployment.settings), "SPOTISYNC_BROKER_URL": url})
    assert "ssl_ca_certs" in say(command("doctor", "--json", "--offline"), "broker")


@pytest.fixture
def sentinels(servers_directory: Path) -> Iterator[tuple[RedisServer, list[Sentinel]]]:
    login = {"requirepass": PASSWORD, "masterauth": PASSWORD}
    primary = RedisServer(servers_directory, login, name="primary", password=PASSWORD)
    follow = {"replicaof": f"127.0.0.1 {primary.port}"}
    replica = RedisServer(servers_directory, {**login, **follow}, name="replica", password=PASSWORD)
    watchers = [Sentinel(servers_directory, primary, number) for number in range(3)]
    try:
        primary.start().wait_ready()
        replica.start().wait_ready()
        with replica.client() as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica")
        for each in watchers:
            each.start()
        for each in watchers:
            wait_until(lambda each=each: each.is_watching(2), f"the sentinels, see {each.log}")  # type: ignore[misc]
        yield primary, watchers
    finally:
        stop_all([primary, replica, *watchers], lambda: True)


@pytest.mark.skipif(SENTINEL is None, reason="redis-sentinel is not installed")
def test_a_failover_by_sentinel(
    scenario: Callable[..., Scenario], sentinels: tuple[RedisServer, list[Sentinel]]
) -> None:
    primary, watchers = sentinels
    url = ";".join(f"sentinel://:{PASSWORD}@127.0.0.1:{each.port}/0" for each in watchers)
    deployed = scenario(f"{url}?master_name=mymaster", api_rate=10_000)
    running = deployed.start_full_sync()
    assert "pacing in this process only" not in deployed.worker.log.read_text()
    assert deployed.measure_recovery(primary.kill) < RECOVERY_SECONDS
    deployed.finish(running)
    deployed.check_flower()
    deployed.sync_edits()
