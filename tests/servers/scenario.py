"""The same story on every server: a full sync, a kill of the worker in its middle, and an incremental after edits."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

import requests
from redis import RedisError

from spotisync.client import Client, Running
from tests.support.driver import Account
from tests.support.ports import free_port
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until
from tests.system.programs import Deployment, Program
from tests.system.test_moving import EDITS, LIST_EDITS

RECOVERY_SECONDS = 30


@dataclass
class Scenario:
    """A deployment whose worker and beat run, and a caller of another service."""

    deployment: Deployment
    worker: Program = field(init=False)

    def __post_init__(self) -> None:
        self.deployment.simulator.control.settings(latency_ms=40)  # so that a test can act during the run
        self.beat = self.deployment.beat()
        self.worker = self.deployment.worker()

    @cached_property
    def account(self) -> Account:
        return self.deployment.account()

    @cached_property
    def client(self) -> Client:
        settings = self.deployment.settings
        return Client(str(settings.broker_url), settings.result_backend)

    def run(self) -> None:
        """All of it."""
        running = self.start_full_sync()
        self.worker.kill()
        self.worker = self.deployment.worker()
        self.finish(running)
        self.sync_edits()

    def start_full_sync(self, batches: int = 3) -> Running[Any]:
        """Return when this many batches of it are stored."""
        wanted = self.count_batches() + batches
        running = self.client.full_sync(account=self.account.name)
        wait_until(lambda: self.count_batches() >= wanted, f"batches, see {self.worker.log}")
        return running

    def count_batches(self) -> int:
        return int(self.deployment.scalar("SELECT coalesce(sum(batches), 0) FROM sync_state"))

    def measure_recovery(self, disturb: Callable[[], None]) -> float:
        """Seconds from the end of `disturb` until another batch is stored."""
        disturb()
        ended, before = time.monotonic(), self.count_batches()
        wait_until(
            lambda: self.count_batches() > before or not self.is_syncing(), f"the next batch, see {self.worker.log}"
        )
        return time.monotonic() - ended

    def is_syncing(self) -> bool:
        return bool(self.deployment.sql("SELECT 1 FROM sync_history WHERE completed_at IS NULL"))

    def finish(self, running: Running[Any]) -> None:
        assert wait_until(lambda: _get(running), "the summary", 90)["status"] == "success"
        assert self.worker.process.poll() is None, self.worker.log.read_text()[-3000:]
        self.check_truth()

    def sync_edits(self) -> None:
        world, dice = self.deployment.simulator.world, Random(3)
        for _ in range(10):
            world.random_edit(dice, ops=[*EDITS, *LIST_EDITS])
        world.clock_offset += 60
        running = self.client.incremental_sync(account=self.account.name)
        assert running.get(timeout=60)["status"] == "success"
        self.check_truth()

    def check_flower(self, *, counts_messages: bool = True) -> None:
        """Flower finds workers through Celery, and counts messages by a Redis client of its own."""
        url = f"http://127.0.0.1:{(port := free_port())}/api"
        environment = {"FLOWER_UNAUTHENTICATED_API": "true", "FLOWER_ADDRESS": "127.0.0.1", "FLOWER_PORT": str(port)}
        flower = self.deployment._start(
            "flower", [sys.executable, "-m", "celery", "-A", "spotisync", "flower"], environment
        )
        wait_until(lambda: _read(f"{url}/workers?refresh=1"), f"the worker in Flower, see {flower.log}")
        if counts_messages:
            assert "spotisync.sync" in str(_read(f"{url}/queues/length"))

    def check_truth(self) -> None:
        deployment = self.deployment
        truth = deployment.simulator.world.truth(self.account.name)
        assert_tables_equal_truth(deployment.context, self.account, truth)

    def stop(self) -> None:
        if "client" in vars(self):
            self.client.close()
        self.deployment.stop()


def _get(running: Running[Any]) -> Any:
    """The summary, or None for now: after an error of an unreachable server, a caller asks again."""
    with suppress(RedisError, TimeoutError):
        return running.get(timeout=5)
    return None


def _read(url: str) -> Any:
    """The JSON document, or None while the server does not answer."""
    try:
        return requests.get(url, timeout=10).json()
    except (requests.ConnectionError, requests.JSONDecodeError):
        return None
