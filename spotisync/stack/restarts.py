"""The watch over one process: whether it is ready, when to start it again, when to give up."""

import logging
import time
from dataclasses import dataclass

from spotisync.errors import Fatal
from spotisync.stack.process import Process

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestartPolicy:
    """With a process that ends when it should not. An end within `quick` seconds of its start is a quick failure."""

    first: float = 0.5
    longest: float = 10.0
    quick: float = 10.0
    failures: int = 5

    def restart_delay(self, failures: int) -> float:
        return min(self.longest, self.first * 2.0 ** (failures - 1))


class ProcessWatch:
    def __init__(self, process: Process, patience: RestartPolicy) -> None:
        self.process = process
        self.state = "not started"
        """not started, starting, running, restarting (it waits for its next start) or done (or given up)."""
        self._patience = patience
        self._failures = 0
        self._was_up = False
        self._since = 0.0
        self._next = 0.0

    @property
    def up(self) -> bool:
        return self.state in ("running", "done")

    def start(self) -> None:
        self.process.start()
        self._since = time.monotonic()
        self.state = "starting"

    def check(self) -> None:
        """See how it does and act on it; never waits. Raises `Fatal` when starting it again is no use."""
        if self.state in ("not started", "done"):
            return
        if self.process.running:
            self._see_it_run()
        elif self.state != "restarting":
            self._see_it_ended()
        elif time.monotonic() >= self._next:
            self.start()

    def _see_it_run(self) -> None:
        self.process.trim_log()
        age = time.monotonic() - self._since
        if self.state == "starting" and self.process.ready():
            log.info("%s is up (%.1f s)", self.process.name, age)
            self.state, self._was_up = "running", True
        elif not self._was_up and age > self.process.child.ready_within:
            raise Fatal(f"{self.process.name} is not ready after {age:.0f} s{self.process.quote_log()}")

    def _see_it_ended(self) -> None:
        self.process.kill_process_group()
        if not self.process.child.restart:
            return self._see_it_done()
        age = time.monotonic() - self._since
        quick = age < self._patience.quick and not self.process.should_retry_start()
        self._failures = self._failures + 1 if quick else 1
        if self._failures >= self._patience.failures:
            return self._give_up(f"ended {self._failures} times in a row soon after its start")
        pause = self._patience.restart_delay(self._failures)
        log.warning("%s ended (%s), next start in %.1f s", self.process.name, self.process.describe_exit, pause)
        self.state, self._next = "restarting", time.monotonic() + pause
        return None

    def _see_it_done(self) -> None:
        if self.process.exit_code != 0:
            raise Fatal(self._gave_up("failed"))
        self.state = "done"

    def _give_up(self, why: str) -> None:
        if self.process.child.vital:
            raise Fatal(self._gave_up(why))
        log.warning("%s", self._gave_up(why))
        self.state = "done"

    def _gave_up(self, why: str) -> str:
        return f"{self.process.name} {why} ({self.process.describe_exit}){self.process.quote_log()}"
