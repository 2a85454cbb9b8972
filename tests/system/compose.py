"""docker-compose.yml without containers: parsed like Compose does and run as local processes.

The parts of a container are replaced by name: ports, its own /tmp and /run/secrets, and the servers, which are the
embedded ones.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from spotisync.stack.binaries import postgres_binaries, valkey_server
from spotisync.stack.directories import server_user, user_with_name
from spotisync.stack.process import child_command
from tests.support.ports import free_ports
from tests.support.waiting import wait_until
from tests.system.programs import Program

ROOT = Path(__file__).parents[2]
Service = dict[str, Any]
PORTS = ("5432", "6379", "8420", "5555", "8421")


def load(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with its variables replaced."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    filled: dict[str, Any] = _filled({name: found[name] for name in found if not name.startswith("x-")}, variables)
    return filled


def dotenv(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {name: _filled(each, variables) for name, each in value.items()}
        case list():
            return [_filled(each, variables) for each in value]
        case str():
            return re.sub(r"\$\$|\$\{(\w+)(?:(:?[-?])([^}]*))?\}", lambda found: _variable(found, variables), value)
    return value


def _variable(found: "re.Match[str]", variables: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    name, how, rest = found.groups()
    if name in variables and (variables[name] or not (how or "").startswith(":")):
        return variables[name]
    if how and how.endswith("?"):
        raise KeyError(f"{name}: {rest}")
    return rest or ""


def seconds(span: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", span).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "m" else 1)


@dataclass
class Instance:
    """The process of one container of a service."""

    name: str
    service: Service
    argv: list[str]
    env: dict[str, str]
    place: Path
    program: Program = field(init=False)

    def start(self) -> None:
        shutil.rmtree(self.place / "tmp", ignore_errors=True)  # each container has its own
        (self.place / "tmp").mkdir()
        (self.place / "tmp").chmod(0o1777)
        here = ["env", "-C", str(self.place / "srv")]
        self.program = Program([*here, *self.argv], self.env, self.place / "log")

    @property
    def log(self) -> str:
        return (self.place / "log").read_text()

    def stop(self) -> None:
        """Stop like the container engine, but fail if the process outlives the grace period."""
        number = signal.Signals[self.service.get("stop_signal", "SIGTERM")]
        self.program.process.send_signal(number)
        self.program.process.wait(seconds(self.service["stop_grace_period"]))

    def succeeded(self) -> bool:
        code = self.program.process.poll()
        assert code in (None, 0), f"{self.name} ended with {code}: {self.log[-3000:]}"
        return code == 0


class Stack:
    """The services of the file as processes, started in the order of their dependencies."""

    def __init__(self, place: Path, variables: Mapping[str, str], secrets: Path, scale: Mapping[str, int]) -> None:
        place.mkdir(mode=0o755)
        self.place, self.secrets, self._scale = place, secrets, scale
        self.ports = {port: str(free) for port, free in zip(PORTS, free_ports(), strict=False)}
        self.services: dict[str, Service] = load(variables)["services"]
        self.instances: dict[str, Instance] = {}
        for secret in secrets.iterdir():
            at = re.sub(r"@(postgres|valkey)/", lambda found: f"@127.0.0.1:{self.port(found[1])}/", secret.read_text())
            secret.write_text(at)

    def port(self, server: str) -> str:
        return self.ports[{"postgres": "5432", "valkey": "6379"}[server]]

    @cached_property
    def bin(self) -> Path:
        """A directory with a replacement for valkey-cli, which the embedded server lacks."""
        path = self.place / "bin"
        path.mkdir()
        cli = path / "valkey-cli"
        cli.write_text(
            f"#!{sys.executable}\nimport os, redis\nport = int(os.environ['VALKEY_PORT'])\n"
            "print('PONG' if redis.Redis(port=port, password=os.environ['REDISCLI_AUTH']).ping() else 'no')\n"
        )
        cli.chmod(0o755)
        return path

    @cached_property
    def postgres(self) -> Path:
        return postgres_binaries(self.place, server_user(self.place))

    def up(self) -> None:
        for name in self.services:
            self._up(name)

    def _up(self, name: str) -> None:
        if self.named(name):
            return
        for before, how in self.services[name].get("depends_on", {}).items():
            self._up(before)
            self._await(before, how["condition"])
        for number in range(self._scale.get(name, 1)):
            made = self._instance(f"{name}-{number + 1}", self.services[name])
            self.instances[made.name] = made
            made.start()

    def named(self, service: str) -> list[Instance]:
        return [each for name, each in self.instances.items() if name.rpartition("-")[0] == service]

    def _await(self, service: str, condition: str) -> None:
        for each in self.named(service):
            if condition == "service_completed_successfully":
                wait_until(each.succeeded, f"the end of {each.name}")
            else:
                self.await_health(each)

    def await_health(self, instance: Instance) -> None:
        wait_until(lambda: self.healthy(instance), f"{instance.name} to be healthy, see {instance.place / 'log'}")

    def healthy(self, instance: Instance) -> bool:
        kind, *words = self._here(instance.service["healthcheck"]["test"], instance.place)
        argv = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        return subprocess.run(argv, env=instance.env, capture_output=True, timeout=30, check=False).returncode == 0

    def restart(self, instance: Instance) -> None:
        """Restart an instance. Only a server must be healthy before the next restart, since all services need it."""
        instance.stop()
        instance.start()
        if instance.service.get("depends_on") is None:
            self.await_health(instance)

    def down(self) -> None:
        for each in reversed(self.instances.values()):
            if each.service.get("image", "").startswith("postgres"):
                each.stop()
            each.program.end()

    def _instance(self, name: str, service: Service) -> Instance:
        place = self.place / name
        for part in ("data", "srv"):
            (place / part).mkdir(parents=True)
        env = {
            "PATH": f"{self.bin}:{self.postgres}:{Path(sys.executable).parent}:{os.defpath}",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PGPORT": self.ports["5432"],
            "VALKEY_PORT": self.ports["6379"],
            **self._here(service.get("environment", {}), place),
        }
        if service["image"].startswith("postgres"):
            argv = self._postgres(place, env)
        else:
            argv = [word.replace("%h", name) for word in self._here(service["command"], place)]
        if argv[0] == "valkey-server":
            listen = ("--port", self.ports["6379"], "--bind", "127.0.0.1")
            argv = [str(valkey_server(self.place, None)), *argv[1:], *listen]
        return Instance(name, service, argv, env, place)

    def _here(self, value: Any, place: Path) -> Any:
        """Replace addresses and directories of the container by local ones."""
        if isinstance(value, dict):
            return {name: self._here(each, place) for name, each in value.items()}
        if isinstance(value, list):
            return [self._here(each, place) for each in value]
        directories = {"/run/secrets": self.secrets, "/tmp": place / "tmp", "/data": place / "data"}  # noqa: S108
        replaced = re.sub(r"(?<![\w/])/(run/secrets|tmp|data)\b", lambda found: str(directories[found[0]]), value)
        replaced = re.sub(
            r"(?<=[:=])(8420|8421|5555)\b|\b(8420|8421|5555)$", lambda found: self.ports[found[0]], replaced
        )
        return re.sub(r"0\.0\.0\.0|(?<=//)simulator(?=:)", "127.0.0.1", replaced)

    def _postgres(self, place: Path, env: Mapping[str, str]) -> list[str]:
        """Create a cluster with the password of the secret, like the image's entry point; return the command."""
        user = user_with_name(server_user(self.place))  # initdb refuses one without a name
        for path in (self.place, place, place / "data"):
            path.chmod(0o755)
        if user:
            os.chown(place / "data", user.uid, user.gid)
        password = place / "password"
        shutil.copy(env["POSTGRES_PASSWORD_FILE"], password)
        password.chmod(0o644)
        cluster, name = place / "data" / "cluster", env["POSTGRES_USER"]
        options = ("--username", name, "--pwfile", str(password), "--auth", "scram-sha-256", "--no-sync")
        _run(child_command([self.postgres / "initdb", "-D", cluster, *options], user))
        single = child_command([self.postgres / "postgres", "--single", "-F", "-D", cluster, "postgres"], user)
        _run(single, f"CREATE DATABASE {env['POSTGRES_DB']}\n")
        listen = ("-p", env["PGPORT"], "-h", "127.0.0.1", "-k", str(place / "tmp"), "-F")
        return child_command([self.postgres / "postgres", "-D", cluster, *listen], user)


def _run(argv: list[str], typed: str = "") -> None:
    done = subprocess.run(argv, input=typed, cwd="/", text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def commands_of(document: Path, containing: str) -> str:
    """Return the block of console commands in a document that contains a string."""
    blocks = re.findall(r"```console\n(.*?)```", document.read_text(), re.DOTALL)
    return next(str(block) for block in blocks if containing in block)
