"""Brokers of Debian's packages as processes on loopback, each in a directory of its own.

They end with the tests, even when these are killed; see `spotisync.stack.exec_child`.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from spotisync.stack.process import ChildSpec, Process
from tests.support.ports import free_port

RABBITMQ: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
REDIS: Final = shutil.which("redis-server")
SENTINEL: Final = shutil.which("redis-sentinel")
PASSWORD: Final = "s3cret"


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Epmd(Process):
    """Erlang's registry of names: one for each node, so that it ends with the tests and not with the machine."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        argv = ["epmd", "-port", str(self.port), "-address", "127.0.0.1"]
        super().__init__(ChildSpec(name="epmd", argv=argv, ready=lambda: _accepts(self.port)), directory)


class RabbitMQ(Process):
    """One node with the vhosts `classic` and `quorum`, named by their default queue type, and the user `spotisync`."""

    def __init__(self, directory: Path, certificate: Path) -> None:
        """`certificate`: the key has the same name with the suffix `.key`."""
        self.port, self.tls_port, self.directory = free_port(), free_port(), directory
        self._certificate = certificate
        self._epmd = Epmd(directory)
        child = ChildSpec(
            name="rabbitmq",
            argv=[RABBITMQ],
            env=self._environment(),
            bare_env=True,
            cwd=directory,
            ready=lambda: _accepts(self.port),
            stop_grace=20,
        )
        super().__init__(child, directory)

    def url(self, vhost: str) -> str:
        return f"amqp://spotisync:{PASSWORD}@127.0.0.1:{self.port}/{vhost}"

    def tls_url(self, vhost: str) -> str:
        return f"amqps://spotisync:{PASSWORD}@127.0.0.1:{self.tls_port}/{vhost}"

    def prepare(self) -> None:
        for name in ("run", "logs"):
            (self.directory / name).mkdir(exist_ok=True)
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o400)
            cookie.chmod(0o600)
            cookie.write_text("tests-only")
            cookie.chmod(0o400)
        (self.directory / "enabled_plugins").write_text("[].")
        (self.directory / "definitions.json").write_text(json.dumps(_definitions()))
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.default = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.certfile = {self._certificate}\n"
            f"ssl_options.keyfile = {self._certificate.with_suffix('.key')}\n"
            f"load_definitions = {self.directory}/definitions.json\n"
            "vm_memory_high_watermark.absolute = 256MiB\ndisk_free_limit.absolute = 1MB\n"
        )
        self._epmd.start().wait_ready()

    def stop(self, *_: Any) -> None:
        super().stop()
        self._epmd.stop()

    def list_queues(self, vhost: str, *columns: str) -> list[list[str]]:
        command = ["rabbitmqctl", "-q", "list_queues", "-p", vhost, "--no-table-headers", *columns]
        done = subprocess.run(
            [RABBITMQ.with_name(command[0]), "-n", self._node, *command[1:]],
            env=self._environment(), check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return [line.split("\t") for line in done.stdout.splitlines()]

    @property
    def _node(self) -> str:
        return f"tests{self.port}@localhost"

    def _environment(self) -> dict[str, str]:
        place = str(self.directory)
        return {
            "PATH": f"{os.defpath}:/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            "HOME": place,
            "ERL_EPMD_PORT": str(self._epmd.port),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_MNESIA_BASE": f"{place}/mnesia",
            "RABBITMQ_LOG_BASE": f"{place}/logs",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/enabled_plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput +S 1:1 +sbwt none",
            # The script then becomes the server, which so gets the signal that ends it with the tests.
            "RUNNING_UNDER_SYSTEMD": "1",
        }


def _definitions() -> dict[str, Any]:
    vhosts = ("classic", "quorum")
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": "spotisync", "password": PASSWORD, "tags": ""}],
        "vhosts": [
            {"name": name, "default_queue_type": name, "metadata": {"default_queue_type": name}} for name in vhosts
        ],
        "permissions": [{"user": "spotisync", "vhost": name, **rights} for name in vhosts],
    }


class RedisServer(Process):
    """`options`: of redis.conf, such as `requirepass`. `connect`: arguments of a client that may do everything."""

    def __init__(
        self, directory: Path, options: Mapping[str, str] | None = None, *, name: str = "redis", **connect: Any
    ) -> None:
        self.port = free_port()
        self.directory = directory / name
        self._connect = {"host": "127.0.0.1", "port": self.port, **connect}
        own = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.directory), "save": "", **(options or {})}
        words = [word for option, value in own.items() for word in (f"--{option}", *value.split(" "))]
        super().__init__(ChildSpec(name=name, argv=[str(REDIS), *words], ready=self._answers), directory)

    def prepare(self) -> None:
        for path in (self.log.parent, self._pid_file.parent, self.directory):
            path.mkdir(exist_ok=True)

    def client(self) -> "Redis":
        return Redis(**self._connect, socket_timeout=2, retry=Retry(NoBackoff(), 0), decode_responses=True)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False


class Sentinel(Process):
    """One of those that watch a Redis server under the name `mymaster`. A failover takes two of them."""

    def __init__(self, directory: Path, primary: RedisServer, number: int) -> None:
        self.port = free_port()
        self._primary = primary
        self._config = directory / f"sentinel-{number}.conf"
        argv = [str(SENTINEL), str(self._config)]
        super().__init__(ChildSpec(name=f"sentinel-{number}", argv=argv, ready=self.is_watching), directory)

    def prepare(self) -> None:
        self._config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._config.parent}\n"
            f"sentinel monitor mymaster 127.0.0.1 {self._primary.port} 2\n"
            f"sentinel auth-pass mymaster {PASSWORD}\n"
            "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 4000\n"
        )

    def is_watching(self, others: int = 0) -> bool:
        """Whether it knows the primary, its replica and this many other sentinels."""
        try:
            with Redis(port=self.port, socket_timeout=2, retry=Retry(NoBackoff(), 0), decode_responses=True) as client:
                state = client.sentinel_master("mymaster")
        except RedisError:
            return False
        return bool(state["num-slaves"] >= 1 and state["num-other-sentinels"] >= others)
