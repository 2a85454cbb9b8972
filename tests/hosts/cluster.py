"""Workers and beats on hosts of their own."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery.result import AsyncResult

from spotisync.stack.postgres import PORT
from tests.hosts.network import Host, Network
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment, Program

PATIENCE = 120
"""Seconds until a test gives up; the machine may be busy."""


@dataclass(frozen=True)
class Site:
    """A network, and the hosts that every deployment needs."""

    network: Network
    db: Host
    broker: Host
    spotify: Host


@dataclass(frozen=True)
class Machine:
    """A host, and the worker or beat that runs there."""

    host: Host
    program: Program

    def log(self) -> str:
        return self.program.log.read_text()


@dataclass
class Cluster:
    site: Site
    deployment: Deployment

    def worker(self, **env: str) -> Machine:
        host = self._add_host()
        with host.inside():
            return Machine(host, self.deployment.worker("spotisync", 2, (), (), **env))

    def beat(self, **env: str) -> Machine:
        """A host has a disk of its own: beat locks its file of schedules."""
        host = self._add_host()
        directory = self.deployment.directory / host.name
        directory.mkdir()
        with host.inside():
            return Machine(host, self.deployment.beat(SPOTISYNC_DATA_DIR=str(directory), **env))

    def _add_host(self) -> Host:
        return self.site.network.add(f"host{len(self.site.network.hosts)}")

    def cut(self, machine: Machine, other: Host) -> None:
        self.site.network.cut(machine.host, other)

    def join(self, machine: Machine, other: Host) -> None:
        self.site.network.join(machine.host, other)

    def count_connections(self, machine: Machine) -> int:
        """Those that the kernel of the host takes for connections to Postgres."""
        with machine.host.inside():
            command = ["ss", "-Htn", "state", "established", f"dport = :{PORT}"]
            return len(subprocess.run(command, check=True, capture_output=True).stdout.splitlines())

    def count_sessions(self, machine: Machine) -> int:
        """Those that Postgres still has with the host."""
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE client_addr = CAST(:address AS inet)"
        return int(self.deployment.scalar(sessions, address=machine.host.address))

    def full_sync(self, account: Account) -> "AsyncResult[Any]":
        return self.deployment.foreign.send_task(
            "spotisync.full_sync", kwargs={"account": account.name}, queue="spotisync.sync"
        )

    def hold_look_up(self) -> None:
        """Let the next look-up of artists wait for `release`."""
        self.deployment.simulator.control.add_fault(kind="hold", path="/v1/artists", times=1)

    def await_held_look_up(self) -> None:
        wait_until(self.deployment.simulator.control.held_requests, "the held look-up", PATIENCE)

    def release(self) -> None:
        self.deployment.simulator.control.release()

    def count_batches(self) -> int:
        return int(self.deployment.scalar("SELECT coalesce(sum(batches), 0) FROM sync_state"))

    def measure(self, condition: Callable[[], Any], message: str) -> float:
        """Seconds until the condition is true."""
        began = time.monotonic()
        wait_until(condition, f"{message}, see {self.deployment.directory}", PATIENCE)
        return time.monotonic() - began

    def measure_progress(self) -> float:
        """Seconds until another batch is stored."""
        before = self.count_batches()
        return self.measure(lambda: self.count_batches() > before, "the next batch")

    def finish(self, account: Account, runs: int = 1) -> None:
        """Wait for the end of all runs; they are right."""
        states = "SELECT status, last_error FROM sync_history"
        wait_until(
            lambda: len(self.deployment.sql(f"{states} WHERE completed_at IS NOT NULL")) == runs,
            f"the end of the runs, see {self.deployment.directory}",
            PATIENCE,
        )
        assert self.deployment.sql(states) == [("success", None)] * runs
        truth = self.deployment.simulator.world.truth(account.name)
        assert_tables_equal_truth(self.deployment.context, account, truth)
