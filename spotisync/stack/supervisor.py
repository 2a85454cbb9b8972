"""The processes of `spotisync up`: started in order, kept running, stopped in the reverse order."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

from spotisync.stack.process import Process, stop_all
from spotisync.stack.restarts import ProcessWatch, RestartPolicy
from spotisync.stack.signals import StopSignals

log = logging.getLogger(__name__)

PACE = 0.1

Stage = Sequence[Process] | Callable[[], object]
"""Processes that start and stop side by side, or something to do between two such stages (migrations)."""


class Supervisor:
    """Use it as a block, in the main thread: its end, however it comes, stops all. Hold the data dir's lock around it.

        with locked(data_dir), Supervisor([[postgres], [valkey], migrate, [worker], [beat, flower]]) as supervisor:
            supervisor.start()
            supervisor.run_until(done)

    A stage starts when all before it is ready. Nothing here runs by itself: who draws instead of `run_until` calls
    `tick` a few times a second. A thread of ours would not do: on Linux children end with the thread that started them.
    """

    def __init__(self, stages: Sequence[Stage], patience: RestartPolicy | None = None) -> None:
        self._patience = patience or RestartPolicy()
        self._to_come = deque(stages)
        self._begun: list[list[ProcessWatch]] = []
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
        return not self._to_come and all(watch.up for watch in self._watches())

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C, SIGTERM or SIGHUP asked for the end. They raise nothing: who loops looks here."""
        return self._signals.is_stop_requested

    def pids(self) -> dict[str, int]:
        return {watch.process.name: pid for watch in self._watches() if (pid := watch.process.pid)}

    def states(self) -> dict[str, str]:
        """Tell for each begun process: starting, running, restarting or done."""
        return {watch.process.name: watch.state for watch in self._watches()}

    def start(self) -> bool:
        """Start all and wait until it is up; false when interrupted. Raises `Fatal` when something won't start."""
        self.run_until(lambda: self.up)
        return self.up

    def run_until(self, done: Callable[[], bool]) -> None:
        """Keep everything running until then, or until we are interrupted."""
        while not (done() or self.interrupted):
            self.tick()
            time.sleep(PACE)

    def tick(self) -> None:
        """Look after the processes once. Raises `Fatal`, naming the log file, when it gives one of them up."""
        for watch in self._watches():
            watch.check()
        while self._to_come and all(watch.up for watch in self._watches()):
            self._begin(self._to_come.popleft())

    def stop(self) -> None:
        """Stop the stages in reverse order, the members of one side by side. A second Ctrl-C hurries it."""
        self._to_come.clear()
        while self._begun:
            watches = self._begun.pop()
            log.info("stopping %s", ", ".join(watch.process.name for watch in watches))
            stop_all([watch.process for watch in watches], lambda: self._signals.is_hurried)

    def _begin(self, stage: Stage) -> None:
        if callable(stage):
            stage()
            return
        self._begun.append([ProcessWatch(process, self._patience) for process in stage])
        for watch in self._begun[-1]:
            watch.start()

    def _watches(self) -> list[ProcessWatch]:
        return [watch for stage in self._begun for watch in stage]
