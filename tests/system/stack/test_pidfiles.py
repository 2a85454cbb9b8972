"""A pid alone does not identify a process."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from spotisync.stack import pidfiles


@pytest.fixture(params=["linux", "darwin"])
def _platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "darwin" and not shutil.which("ps"):
        pytest.skip("needs ps")
    monkeypatch.setattr("sys.platform", request.param)


@pytest.mark.usefixtures("_platform")
def test_a_start_time_identifies_a_process() -> None:
    assert pidfiles.start_time(os.getpid()) == pidfiles.start_time(os.getpid()) is not None
    with subprocess.Popen(["sleep", "1000"]) as process:
        assert pidfiles.start_time(process.pid) != pidfiles.start_time(os.getpid())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert pidfiles.start_time(process.pid) is None, "a zombie"
    assert pidfiles.start_time(process.pid) is None


@pytest.mark.usefixtures("_platform")
def test_terminates_only_the_recorded_process(place: Path) -> None:
    note = place / "run" / "child.pid"
    with subprocess.Popen(["sleep", "1000"]) as process:
        pidfiles.write(note, process.pid)
        assert pidfiles.read_running(note) == process.pid
        note.write_text(f"{process.pid}\nanother moment\n")
        pidfiles.end_process(note, [signal.SIGKILL], 60)
        assert process.poll() is None
        pidfiles.write(note, process.pid)
        pidfiles.end_process(note, [signal.SIGCONT, signal.SIGTERM], 0.1)
        assert process.wait() == -signal.SIGTERM


@pytest.mark.parametrize("text", ["", "12", "x\ny\n", "1\n2\n3\n"])
def test_ignores_an_invalid_pid_file(place: Path, text: str) -> None:
    (place / "note").write_text(text)
    assert pidfiles.read_running(place / "note") is None
    assert pidfiles.read_running(place / "missing") is None
