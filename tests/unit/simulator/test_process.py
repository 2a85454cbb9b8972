"""The simulator as a separate process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from spotisync.simulator import Control
from tests.support.waiting import wait_until

from .reader import Reader

COMMAND = [sys.executable, "-m", "spotisync.simulator", "--library", "tiny"]


@contextmanager
def simulator(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_prints_its_address_and_ends_when_terminated(number: signal.Signals) -> None:
    with simulator("--accounts", "2", "--warm", "--quota", "artists=1") as (process, info):
        assert info["api_url"] == info["url"] + "/v1"
        assert [account["id"] for account in info["accounts"]] == ["user01", "user02"]
        control = Control(info["accounts_url"])
        assert control.settings()["quota"] == {"artists": 1}
        with Reader(info["url"], control.token()["access_token"]) as reader:
            assert reader.json("/me/tracks")["total"] == 33
            process.send_signal(number)
            assert process.wait(60) == 0


@pytest.mark.slow
def test_writes_a_streaming_history_and_ends(tmp_path: Path) -> None:
    history = tmp_path / "history.zip"
    subprocess.run([*COMMAND, "--timezone", "Europe/Berlin", "--history", str(history)], check=True, timeout=60)
    assert list(tmp_path.iterdir()) == [history]
    with ZipFile(history) as archive:
        assert any("Streaming_History_Audio_" in name for name in archive.namelist())


def test_ends_despite_a_held_request() -> None:
    with simulator() as (process, info):
        Control(info["url"]).add_fault(kind="hang", seconds=600)
        with Reader(info["url"], "none") as reader, pytest.raises(OSError, match="imed out"):
            reader.get("/me", timeout=0.1)
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_ends_with_its_parent() -> None:
    program = f"""
import os, subprocess, sys
child = subprocess.Popen({COMMAND!r} + ["--die-with-parent", str(os.getpid())], stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode(), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[0])
        parent.kill()
        parent.wait()
        wait_until(lambda: not alive(pid), "the simulator to end")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # The process that adopts orphans may leave it as a zombie, which counts as ended.
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def test_help_lists_paths_and_options() -> None:
    output = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("/_sim/faults", "--regime", "500,000", "--die-with-parent"):
        assert word in output
