"""The tests of the store, and syncs by processes that are killed, on the PostgreSQL versions that Debian installs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import INSTALLED

TESTS = [
    "tests/integration/store",
    "tests/integration/sync/test_moving_library.py",
    "tests/system/test_moving.py",
    "tests/system/test_outages.py::test_a_sync_survives_repeated_kills_of_the_worker",
]
VERSIONS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [pytest.mark.servers, pytest.mark.skipif(not VERSIONS, reason="no PostgreSQL is installed")]


@pytest.mark.parametrize("programs", VERSIONS, ids=lambda path: path.parent.name)
def test_syncs_and_the_store_pass_their_tests(programs: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", *TESTS]
    environment = {**os.environ, INSTALLED: str(programs)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-5000:]
