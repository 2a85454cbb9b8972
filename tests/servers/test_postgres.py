"""The tests of the store on the PostgreSQL versions that Debian installs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import INSTALLED

VERSIONS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [pytest.mark.servers, pytest.mark.skipif(not VERSIONS, reason="no PostgreSQL is installed")]


@pytest.mark.parametrize("programs", VERSIONS, ids=lambda path: path.parent.name)
def test_the_store_passes_its_tests(programs: Path) -> None:
    tests = ["tests/integration/store", "tests/integration/sync/test_moving_library.py"]
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", *tests]
    environment = {**os.environ, INSTALLED: str(programs)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-5000:]
