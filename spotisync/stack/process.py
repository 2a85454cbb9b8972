"""A child process with a log file. On Linux it ends when this process ends, even by kill -9."""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Self

from spotisync.errors import Fatal
from spotisync.stack import exec_child, pidfiles
from spotisync.stack.directories import SystemUser

log = logging.getLogger(__name__)

MAX_LOG_BYTES = 10_000_000
HURRIED_GRACE = 1.0


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What to run, and how to supervise it.

    `ready` is called until it returns true once. It must return soon and never raise. Default: running means ready.
    `ready_within`: seconds from the first start after which the supervisor gives up on a child that is not ready.
    `stop_signals` are sent one after the other, with `stop_grace` seconds after each; SIGKILL comes last.
    `restart=False`: exit code 0 is success, any other makes the supervisor give up.
    `vital=False`: the supervisor never gives up: it restarts this child at growing intervals and keeps the others.
    """

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    bare_env: bool = False
    """Whether `env` is the whole environment instead of an addition to the inherited one."""
    user: SystemUser | None = None
    cwd: Path | None = None
    ready: Callable[[], bool] | None = None
    ready_within: float = 60.0
    stop_signals: tuple[Signals, ...] = (SIGTERM,)
    stop_grace: float = 10.0
    orphan_signal: Signals = SIGKILL
    restart: bool = True
    vital: bool = True


def child_command(argv: Sequence[str | Path], user: SystemUser | None, orphan_signal: Signals = SIGKILL) -> list[str]:
    """Return a command that gets this signal when the *thread* that started it ends.

    So start it from the main thread, or from one that lives as long as the process. Linux only: elsewhere the program
    continues to run.
    """
    uid, gid = (user.uid, user.gid) if user else (-1, -1)
    numbers = (os.getpid(), int(orphan_signal), uid, gid)
    return [sys.executable, "-I", "-S", exec_child.__file__, *map(str, numbers), *map(str, argv)]


class Process:
    def __init__(self, child: ChildSpec, data_dir: Path) -> None:
        self.child = child
        self.name = child.name
        self.log = data_dir / "logs" / f"{child.name}.log"
        self._pid_file = data_dir / "run" / f"{child.name}.pid"
        self._popen: subprocess.Popen[bytes] | None = None
        self._group: int | None = None

    @property
    def pid(self) -> int | None:
        return self.last_pid if self.running else None

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def last_pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    @property
    def exit_code(self) -> int | None:
        """None while it is running, negative if a signal ended it."""
        return self._popen.poll() if self._popen else None

    def start(self) -> Self:
        """Start it unless it is running, without waiting. First end a process that an earlier run left behind.

        The caller must hold the lock of the data dir; otherwise this would end the process of another `up` or `demo`.
        """
        if self.running:
            return self
        pidfiles.end_process(self._pid_file, (*self.child.stop_signals, SIGKILL), self.child.stop_grace)
        self.prepare()
        if self._popen is None:
            self._rotate_log()
        self._launch()
        return self

    def prepare(self) -> None:
        """Create what a server needs before it starts."""

    def ready(self) -> bool:
        return self.running and (self.child.ready is None or self.child.ready())

    def wait_ready(self, within: float | None = None) -> Self:
        within = within or self.child.ready_within
        deadline = time.monotonic() + within
        while not self.ready():
            if not self.running:
                if not self.should_retry_start():
                    raise Fatal(f"{self.name} ended during its start ({self.exit_reason}){self.quote_log()}")
                self._launch()
            if time.monotonic() > deadline:
                raise Fatal(f"{self.name} was not ready within {within:g} s{self.quote_log()}")
            time.sleep(0.02)
        return self

    def should_retry_start(self) -> bool:
        """Tell whether a server ended for a temporary reason, so that another start may succeed."""
        return False

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop it and wait for its end. `hurry` is polled; once it is true, each signal gets only one second."""
        stop_all([self], hurry)

    def send(self, number: Signals) -> None:
        if self._popen:
            self._popen.send_signal(number)  # does nothing after its end, when the pid may belong to another process

    def kill(self) -> None:
        """Send SIGKILL to it and to its process group, and wait for its end."""
        if self._popen:
            self.send(SIGKILL)
            self._popen.wait()
            self.kill_process_group()

    def kill_process_group(self) -> None:
        """After its end, kill what it left in its process group. Only once: later the number may be another group's."""
        if self._group and not self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, SIGKILL)
            self._group = None

    def trim_log(self) -> None:
        """Limit the log's size. The child opened it for appending, so it continues at the new end."""
        if self.log.stat().st_size > MAX_LOG_BYTES:
            shutil.copyfile(self.log, self._old_log)
            os.truncate(self.log, 0)

    @property
    def exit_reason(self) -> str:
        code = self.exit_code
        return Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def quote_log(self) -> str:
        """Return the end of its log, for an error message."""
        lines = self.tail().strip().splitlines()[-5:]
        return "\n".join([f"; see {self.log}", *(f"  {line}" for line in lines)])

    def tail(self) -> str:
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 10_000))
            return file.read().decode(errors="replace")

    @property
    def _old_log(self) -> Path:
        return self.log.with_suffix(".log.1")

    def _rotate_log(self) -> None:
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        if self.log.exists():
            self.log.replace(self._old_log)

    def _launch(self) -> None:
        child = self.child
        inherited = {} if child.bare_env else os.environ  # noqa: TID251 (passed on as a whole, not read)
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                child_command(child.argv, child.user, child.orphan_signal),
                env={**inherited, **child.env},
                cwd=child.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process only, which stops the children in order
            )
        self._group = self._popen.pid
        pidfiles.write(self._pid_file, self._popen.pid)
        log.debug("%s started as pid %d", self.name, self._popen.pid)


def stop_all(processes: Sequence[Process], hurry: Callable[[], bool] = lambda: False) -> None:
    """Stop the processes in parallel, and wait until all have ended."""
    longest = max((len(process.child.stop_signals) for process in processes), default=0)
    for step in range(longest):
        running = [process for process in processes if process.running]
        for process in running:
            process.send(process.child.stop_signals[min(step, len(process.child.stop_signals) - 1)])
        _await_end(running, hurry)
    for process in processes:
        if process.running:
            log.warning("%s did not stop in time: killed", process.name)
            process.kill()
        process.kill_process_group()


def _await_end(processes: Sequence[Process], hurry: Callable[[], bool]) -> None:
    started = time.monotonic()
    while waited_for := [process for process in processes if process.running]:
        longest = max(process.child.stop_grace for process in waited_for)
        if time.monotonic() > started + (min(longest, HURRIED_GRACE) if hurry() else longest):
            return
        time.sleep(0.02)
