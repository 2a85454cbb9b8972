"""`spotisync` as a process of its own, with the environment that a person would give it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

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
class Cli:
    env: dict[str, str]

    def __call__(self, *words: str, stdin: str = "") -> Said:
        done = subprocess.run(
            [*SPOTISYNC, *words], env=self.env, input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*SPOTISYNC, *words], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )


def bare_environment(**variables: str) -> dict[str, str]:
    """Without what the person who runs the tests has set for their own library."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPOTI")}
    return {**inherited, **variables}
