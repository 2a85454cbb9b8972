"""Other programs for the same job, each in a throw-away venv: they are installed by pip and never committed.

A script of this directory runs in the venv of its peer, with the arguments API_URL TOKEN DIRECTORY DATABASE_URL. It
points the peer at the simulator and writes `result.json`: the seconds without interpreter start and imports, and the
peak memory.
"""

import json
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import Environment
from spotisync.simulator import Control

DATABASE = "peer"
SCRIPTS = Path(__file__).parent
INSTALL_SECONDS = 600
RUN_SECONDS = 1_800


@dataclass(frozen=True)
class Kind:
    """How to install and run a peer."""

    requirements: tuple[str, ...]
    script: str


# What each of them reads and stores, and what it can't do: docs/performance.md.
KINDS = {
    "exportify-cli": Kind(("--ignore-requires-python", "exportify-cli==1.0.3"), "run_exportify.py"),
    "dlt": Kind(("dlt[postgres]==1.31.0",), "run_dlt.py"),
    "singer-sdk": Kind(("singer-sdk==0.54.9",), "run_singer.py"),
}


@dataclass(frozen=True)
class Peer:
    """An installed peer."""

    name: str
    python: Path

    def run(self, control: Control, environment: Environment) -> tuple[float, float]:
        """Let it read the first account. Returns the seconds, and its peak memory in MB."""
        token = control.token()["access_token"]
        database = environment.create_database(DATABASE, "template0").replace("+psycopg", "", 1)
        directory = environment.settings.data_dir / "peers" / self.name / "files"
        directory.mkdir(parents=True, exist_ok=True)
        script = SCRIPTS / KINDS[self.name].script
        command: list[str | Path] = [self.python, script, f"{control.url}/v1/", token, directory, database]
        done = subprocess.run(command, capture_output=True, text=True, cwd=directory, timeout=RUN_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name} failed: {done.stderr[-2_000:]}")
        found = json.loads((directory / "result.json").read_text())
        return found["seconds"], found["peak_mb"]


def install(name: str, directory: Path) -> Peer:
    """Create the venv of a peer below `directory`, unless it is there already. Raises RuntimeError if pip can't."""
    home = directory / name
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        venv.create(home, with_pip=True, clear=True)
        command: list[str | Path] = [python, "-m", "pip", "install", "-q", *KINDS[name].requirements]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"pip can't install {name}: {done.stderr[-500:]}")
        (home / "installed").touch()
    return Peer(name, python)


def install_all(names: tuple[str, ...], directory: Path) -> list[Peer]:
    """Install the peers that pip can install here; report the others on standard error."""
    found = []
    for name in names:
        try:
            found.append(install(name, directory))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(error, file=sys.stderr)
    return found
