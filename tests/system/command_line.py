"""Runs `spotisync` with an environment, in this process or in a new one."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from spotisync.cli import main
from spotisync.settings import settings

SPOTISYNC = (sys.executable, "-m", "spotisync")


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Parse stdout, which must be one JSON document."""
        return json.loads(self.out)


@dataclass(frozen=True)
class InProcess:
    """Runs a command in this process, which is faster. Not for publishing commands: the process has one Celery app."""

    env: dict[str, str]

    def __call__(self, *words: str, stdin: str = "") -> CommandResult:
        out, err = io.StringIO(), io.StringIO()
        with _replaced_environment(self.env, words, stdin), redirect_stdout(out), redirect_stderr(err):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        return CommandResult(code, out.getvalue(), err.getvalue())


@contextmanager
def _replaced_environment(env: dict[str, str], words: tuple[str, ...], stdin: str) -> Iterator[None]:
    before = dict(os.environ), sys.argv, sys.stdin, logging.root.handlers[:]
    os.environ.clear()
    os.environ.update(env)
    sys.argv, sys.stdin = ["spotisync", *words], io.StringIO(stdin)
    settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before[0])
        sys.argv, sys.stdin, logging.root.handlers[:] = before[1:]
        settings.cache_clear()


@dataclass(frozen=True)
class Subprocess:
    """Runs a command in a new process."""

    env: dict[str, str]

    def __call__(self, *words: str) -> CommandResult:
        done = subprocess.run(
            [*SPOTISYNC, *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*SPOTISYNC, *words],
            env={**self.env, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )


def bare_environment(**variables: str) -> dict[str, str]:
    """The environment without the personal settings of the user who runs the tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPOTI")}
    return {**inherited, **variables}
