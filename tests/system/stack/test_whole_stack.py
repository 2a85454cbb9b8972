"""`program.py`, a small `spotisync up`, as a process that is killed and stopped from outside."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

from .conftest import Start
from .processes import processes_of

NAMES = {"postgres", "valkey", "worker", "beat", "web"}


def pids(program: subprocess.Popen[str]) -> dict[str, int]:
    assert program.stdout
    line = program.stdout.readline()
    assert line.startswith("{"), line + program.stdout.read()
    found: dict[str, int] = json.loads(line)
    return found


def test_kill_9_leaves_no_process_and_the_next_start_works(place: Path, start: Start) -> None:
    program = start()
    assert pids(program).keys() == NAMES
    assert len(processes_of(place)) > len(NAMES)
    program.kill()
    wait_until(lambda: not processes_of(place), "all processes to end")

    program = start()
    assert pids(program).keys() == NAMES
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0
    assert "database system is shut down" in (place / "data" / "logs" / "postgres.log").read_text()


@pytest.mark.slow
def test_starts_right_after_kill_9(place: Path, start: Start) -> None:
    """The servers of the killed program are still shutting down; the next start waits for their end."""
    program = start()
    pids(program)
    program.kill()
    program.wait()
    assert pids(start()).keys() == NAMES


@pytest.mark.slow
def test_starts_after_kill_9_during_initdb(place: Path, start: Start) -> None:
    program = start()
    wait_until(lambda: list((place / "data").glob("postgres.half-*/base")), "initdb to start")
    program.kill()
    wait_until(lambda: not processes_of(place), "all processes to end")
    assert not (place / "data" / "postgres").exists()
    assert pids(start()).keys() == NAMES
    assert not list((place / "data").glob("postgres.half-*"))


def test_a_second_start_is_rejected_and_harmless(place: Path, start: Start) -> None:
    program = start("bare")
    first = pids(program)
    second = start("bare")
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 3
    assert f"already running on {place}/data, as pid {program.pid} since" in output
    assert first["worker"] in processes_of(place)


@pytest.mark.slow
def test_restarts_killed_servers(place: Path, start: Start) -> None:
    program = start()
    before = pids(program)
    notes = [(place / "data" / "run" / f"{name}.pid", before[name]) for name in ("postgres", "valkey")]
    for _, pid in notes:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(note.read_text().startswith(f"{pid}\n") for note, pid in notes), "new process ids")
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0


@pytest.mark.slow
def test_ctrl_c_during_the_start_stops_everything(place: Path, start: Start) -> None:
    program = start()
    wait_until((place / "data" / "run" / "postgres.pid").exists, "Postgres to start")
    program.send_signal(signal.SIGINT)
    assert program.wait(60) == 0
