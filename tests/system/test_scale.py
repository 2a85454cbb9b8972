"""The benchmark of many accounts, with few: it runs to its end, and measures what docs/scale.md names."""

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow
COMMAND = (sys.executable, "-m", "benchmarks.scale", "--json", "--tracks", "20")
DAY = ("day", "--accounts", "30", "--libraries", "5", "--minutes", "0.34", "--workers", "1", "--days", "busy@100")
WORKERS = ("workers", "--accounts", "6", "--workers", "2", "--latency", "20")


def run(*options: str) -> dict[tuple[str, str], Any]:
    """Return the rows by the first word of the section, and what was measured."""
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return {(row["section"].split()[0], row["what"]): row for row in json.loads(done.stdout)["rows"]}


def test_a_day_of_thirty_accounts() -> None:
    rows = run(*DAY)
    assert rows["30", "incremental: due to begun"]["n"] > 10
    assert rows["30", "playback: due to ended"]["n"] > 10
    assert rows["30", "task tick"]["max"] < 10_000
    assert rows["Load,", "CPU without simulator"]["median"] > 0
    assert rows["Load,", "CPU of worker1"]["median"] > 0
    assert rows["Broker,", "spotisync.sync"]["n"] > 1
    assert rows["Memory,", "worker1, child 2"]["min"] > 10
    assert rows["Growth", "all tables"]["median"] >= 0
    assert rows["Calls", "player"]["median"] > 0


def test_two_workers_against_one() -> None:
    rows = run(*WORKERS)
    assert rows["6", "2 workers / 1"]["median"] > 0.5
    assert rows["6", "1 worker: wait of an account"]["n"] == 6
