"""The processes of `spotisync up`: started in order, restarted when they end, stopped in reverse order."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from spotisync.stack.process import Process, stop_all
from spotisync.stack.restarts import ProcessWatch, RestartPolicy
from spotisync.stack.signals import StopSignals

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1


@dataclass(frozen=True)
class Callbacks:
    """Functions to call between two stages, at the start and at the stop. An error of `stop` stops nothing else."""

    start: Callable[[], object]
    stop: Callable[[], object]


Stage = Sequence[Process] | Callbacks | Callable[[], object]
"""Processes that start and stop in parallel, or what to do between two stages (migrations)."""


class Supervisor:
    """Use it as a `with` block in the main thread: leaving the block stops all. Hold the lock of the data dir.

        with lock_data_dir(data_dir), Supervisor([[postgres], migrate, [worker], [beat, flower]]) as supervisor:
            supervisor.start()
            supervisor.run_until(done)

    A stage starts when all earlier stages are ready. Callers that do not use `run_until` must call `tick` a few times
    per second. There is no thread for it, because on Linux children end with the thread that started them.
    """

    def __init__(self, stages: Sequence[Stage], policy: RestartPolicy | None = None) -> None:
        self._policy = policy or RestartPolicy()
        self._pending = deque(stages)
        self._started: list[list[ProcessWatch] | Callbacks] = []
        self._signals = StopSignals()

    def __enter__(self) -> Self:
        self._signals.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._signals.__exit__()

    @property
    def up(self) -> bool:
        return not self._pending and all(watch.up for watch in self._watches())

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C, SIGTERM or SIGHUP requested a stop. These raise nothing, so loops must check this."""
        return self._signals.is_stop_requested

    def pids(self) -> dict[str, int]:
        return {watch.process.name: pid for watch in self._watches() if (pid := watch.process.pid)}

    def states(self) -> dict[str, str]:
        """Return the state of each started process: starting, running, restarting or done."""
        return {watch.process.name: watch.state for watch in self._watches()}

    def start(self) -> bool:
        """Start all and wait until they are up. False if interrupted. Raises `Fatal` if a process does not start."""
        self.run_until(lambda: self.up)
        return self.up

    def run_until(self, done: Callable[[], bool]) -> None:
        """Keep all processes running until `done` returns true or a stop is requested."""
        while not (done() or self.interrupted):
            self.tick()
            time.sleep(TICK_SECONDS)

    def tick(self) -> None:
        """Check all processes once. Raises `Fatal`, with the log file, when it gives up on one."""
        for watch in self._watches():
            watch.check()
        while self._pending and all(watch.up for watch in self._watches()):
            self._start_stage(self._pending.popleft())

    def stop(self) -> None:
        """Stop the stages in reverse order, the processes of a stage in parallel. A second Ctrl-C hurries it."""
        self._pending.clear()
        while self._started:
            stage = self._started.pop()
            if isinstance(stage, Callbacks):
                _call_stop(stage)
                continue
            log.info("stopping %s", ", ".join(watch.process.name for watch in stage))
            stop_all([watch.process for watch in stage], lambda: self._signals.is_hurried)

    def _start_stage(self, stage: Stage) -> None:
        if isinstance(stage, Callbacks):
            stage.start()
            self._started.append(stage)
        elif callable(stage):
            stage()
        else:
            watches = [ProcessWatch(process, self._policy) for process in stage]
            self._started.append(watches)
            for watch in watches:
                watch.start()

    def _watches(self) -> list[ProcessWatch]:
        return [watch for stage in self._started if not isinstance(stage, Callbacks) for watch in stage]


def _call_stop(callbacks: Callbacks) -> None:
    try:
        callbacks.stop()
    except Exception as error:  # noqa: BLE001 (the servers must be stopped in any case)
        log.warning("%s", error)
