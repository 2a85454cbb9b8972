"""`spotisync` with the environment that a person would give it: in this process, or as one of its own."""

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
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of stdout is one document, or this raises."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Here:
    """In this process, which is quicker. Not for what publishes: a process has one Celery app, with one broker."""

    env: dict[str, str]

    def __call__(self, *words: str, stdin: str = "") -> Said:
        out, err = io.StringIO(), io.StringIO()
        with _in_place_of_ours(self.env, words, stdin), redirect_stdout(out), redirect_stderr(err):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        return Said(code, out.getvalue(), err.getvalue())


@contextmanager
def _in_place_of_ours(env: dict[str, str], words: tuple[str, ...], stdin: str) -> Iterator[None]:
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
class Shell:
    """As a process of its own."""

    env: dict[str, str]

    def __call__(self, *words: str) -> Said:
        done = subprocess.run(
            [*SPOTISYNC, *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*SPOTISYNC, *words],
            env={**self.env, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )


def bare_environment(**variables: str) -> dict[str, str]:
    """Without what the person who runs the tests has set for their own library."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPOTI")}
    return {**inherited, **variables}
