"""Supervise one process: is it ready, when to restart it, when to give up."""

import logging
import time
from dataclasses import dataclass

from spotisync.errors import Fatal
from spotisync.stack.process import Process

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestartPolicy:
    """How to restart a process that ends unexpectedly. Quick failures are those within `quick` seconds of the start.

    `failures`: the number of quick ones in a row after which the supervisor gives up on a vital process.
    """

    first: float = 0.5
    longest: float = 300.0
    quick: float = 10.0
    failures: int = 5

    def restart_delay(self, failures: int) -> float:
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 64))  # a float overflows after 1,024 failures


class ProcessWatch:
    def __init__(self, process: Process, policy: RestartPolicy) -> None:
        self.process = process
        self.state = "not started"
        """not started, starting, running, restarting (waiting for its next start) or done."""
        self._policy = policy
        self._failures = 0
        self._was_up = False
        self._started_at = 0.0
        self._restart_at = 0.0

    @property
    def up(self) -> bool:
        """Whether the next stage may start. It does not wait for a process that is not vital and has failed."""
        return self.state in ("running", "done") or (not self.process.child.vital and self._failures > 0)

    def start(self) -> None:
        self.process.start()
        self._started_at = time.monotonic()
        self.state = "starting"

    def check(self) -> None:
        """Update the state and restart the process if due, without waiting. Raises `Fatal` when it gives up."""
        if self.state in ("not started", "done"):
            return
        if self.process.running:
            self._check_running()
        elif self.state != "restarting":
            self._handle_exit()
        elif time.monotonic() >= self._restart_at:
            self.start()

    def _check_running(self) -> None:
        self.process.trim_log()
        age = time.monotonic() - self._started_at
        if self.state == "starting" and self.process.ready():
            log.info("%s is up (%.1f s)", self.process.name, age)
            self.state, self._was_up = "running", True
        elif not self._was_up and age > self.process.child.ready_within:
            raise Fatal(f"{self.process.name} is not ready after {age:.0f} s{self.process.quote_log()}")

    def _handle_exit(self) -> None:
        self.process.kill_process_group()
        if not self.process.child.restart:
            return self._finish()
        age = time.monotonic() - self._started_at
        quick = age < self._policy.quick and not self.process.should_retry_start()
        self._failures = self._failures + 1 if quick else 1
        if self._failures == self._policy.failures:
            self._report_failures()
        delay = self._policy.restart_delay(self._failures)
        log.warning("%s ended (%s); restarting in %.1f s", self.process.name, self.process.exit_reason, delay)
        self.state, self._restart_at = "restarting", time.monotonic() + delay
        return None

    def _finish(self) -> None:
        if self.process.exit_code != 0:
            raise Fatal(self._describe("failed"))
        self.state = "done"

    def _report_failures(self) -> None:
        """Raises `Fatal` if the stack is of no use without this process."""
        text = self._describe(f"ended {self._failures} times in a row soon after its start")
        if self.process.child.vital:
            raise Fatal(text)
        log.error("%s", text)

    def _describe(self, why: str) -> str:
        return f"{self.process.name} {why} ({self.process.exit_reason}){self.process.quote_log()}"
