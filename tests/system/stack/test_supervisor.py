"""Order, restarts and failures, with trivial child processes."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spotisync.errors import Fatal
from spotisync.stack import process
from spotisync.stack.process import ChildSpec, Process
from spotisync.stack.restarts import RestartPolicy
from spotisync.stack.supervisor import Callbacks, Stage, Supervisor
from tests.support.waiting import wait_until

from .conftest import Start
from .processes import processes_of

PATIENCE = RestartPolicy(first=0.02, longest=0.1)


def shell(place: Path, script: str, name: str = "child", *, restart: bool = True, vital: bool = True) -> Process:
    child = ChildSpec(name=name, argv=["sh", "-c", script], cwd=place, stop_grace=60, restart=restart, vital=vital)
    return Process(child, place / "data")


@contextmanager
def supervised(place: Path, *stages: Stage) -> Iterator[Supervisor]:
    (place / "data").mkdir(exist_ok=True)
    with Supervisor(stages, PATIENCE) as supervisor:
        yield supervisor


def test_restarts_a_child_that_ended(place: Path) -> None:
    with supervised(place, [shell(place, "exec sleep 1000")]) as supervisor:
        assert supervisor.start()
        first = supervisor.pids()["child"]
        os.kill(first, signal.SIGKILL)
        supervisor.run_until(lambda: supervisor.pids().get("child", first) != first)
        supervisor.run_until(lambda: supervisor.up)
        assert supervisor.states() == {"child": "running"}


def test_ends_the_process_group_of_a_dead_child(place: Path) -> None:
    with supervised(place, [shell(place, "sleep 1000 & echo $! >>pids; wait")]) as supervisor:
        supervisor.start()
        wait_until((place / "pids").exists, "the file with the process id")
        wait_until(lambda: len(processes_of(place)) == 2, "two processes")
        os.kill(supervisor.pids()["child"], signal.SIGKILL)
        supervisor.run_until(lambda: len((place / "pids").read_text().split()) == 2)
        wait_until(lambda: len(processes_of(place)) == 2, "two processes")


def test_gives_up_after_five_quick_failures(place: Path) -> None:
    reason = r"(?s)child ended 5 times in a row.*exit code 7.*child\.log.*no such table"
    child = shell(place, "echo go >>starts; echo no such table; exit 7")
    with supervised(place, [child]) as supervisor, pytest.raises(Fatal, match=reason):
        supervisor.run_until(lambda: False)
    assert (place / "starts").read_text() == "go\n" * 5


def test_an_optional_child_may_fail_and_is_started_again(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = shell(
        place, "echo go >>starts; echo no such queue; test -e cured && exec sleep 1000; exit 7", "worker", vital=False
    )
    starts = place / "starts"
    with supervised(
        place, [shell(place, "exec sleep 1000")], [worker], [shell(place, "exec sleep 1000", "page")]
    ) as supervisor:
        supervisor.run_until(lambda: starts.exists() and len(starts.read_text().split()) > 6)
        states = supervisor.states()
        assert (states["child"], states["page"]) == ("running", "running")
        assert caplog.text.count("worker ended 5 times in a row soon after its start") == 1
        assert "no such queue" in caplog.text
        (place / "cured").touch()
        supervisor.run_until(lambda: supervisor.states()["worker"] == "running")


def test_restart_delays_double_up_to_the_maximum() -> None:
    delays = [RestartPolicy().restart_delay(failures) for failures in range(1, 13)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert RestartPolicy().restart_delay(10_000) == 300, "after a month"


def test_a_long_run_resets_the_failure_count(place: Path) -> None:
    child = shell(place, "echo go >>starts; exit 7")
    with Supervisor([[child]], RestartPolicy(first=0.02, longest=0.02, quick=0)) as supervisor:
        (place / "data").mkdir()
        supervisor.run_until(lambda: (place / "starts").exists() and len((place / "starts").read_text().split()) > 6)


def test_reports_a_missing_program(place: Path) -> None:
    missing = Process(ChildSpec(name="child", argv=[place / "missing"]), place / "data")
    with supervised(place, [missing]) as supervisor, pytest.raises(Fatal, match="No such file"):
        supervisor.run_until(lambda: False)


def test_does_not_restart_a_one_time_child(place: Path) -> None:
    with supervised(place, [shell(place, "exit 0", restart=False)]) as supervisor:
        supervisor.run_until(lambda: supervisor.states() == {"child": "done"})
        assert supervisor.up
    failing = shell(place, "exit 1", restart=False)
    with supervised(place, [failing]) as supervisor, pytest.raises(Fatal, match="child failed"):
        supervisor.run_until(lambda: False)


def test_fails_when_a_child_does_not_become_ready(place: Path) -> None:
    child = ChildSpec(name="child", argv=["sleep", "1000"], cwd=place, ready=lambda: False, ready_within=0.2)
    stage, reason = [Process(child, place / "data")], "child is not ready after"
    with supervised(place, stage) as supervisor, pytest.raises(Fatal, match=reason):
        supervisor.start()
    assert not processes_of(place)


def test_failing_migrations_stop_the_other_children(place: Path) -> None:
    def migrate() -> None:
        raise Fatal("no migration for you")

    stage = [shell(place, "exec sleep 1000")]
    with pytest.raises(Fatal, match="for you"), supervised(place, stage, migrate) as supervisor:
        supervisor.start()
    assert not processes_of(place)


def test_logs_output_and_limits_the_size_of_the_log(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_LOG_BYTES", 1000)
    child = shell(place, "while :; do echo 0123456789; sleep 0.001; done")
    old = place / "data" / "logs" / "child.log.1"
    with supervised(place, [child]) as supervisor:
        supervisor.run_until(lambda: old.exists() and child.log.stat().st_size > 0)
        assert child.log.read_bytes()[:1] != b"\0"
        assert b"0123456789" in old.read_bytes()


def test_a_start_renames_the_old_log(place: Path) -> None:
    for word in ("first", "second"):
        with supervised(place, [shell(place, f"echo {word}", restart=False)]) as supervisor:
            supervisor.run_until(lambda: supervisor.states() == {"child": "done"})
    logs = place / "data" / "logs"
    assert [(logs / name).read_text() for name in ("child.log.1", "child.log")] == ["first\n", "second\n"]


def test_a_child_inherits_the_environment_and_additions(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    argv = [sys.executable, "-c", "import os; print(os.environ['INHERITED'], os.environ['ADDED'])"]
    child = Process(ChildSpec(name="child", argv=argv, env={"ADDED": "too"}, restart=False), place / "data")
    with supervised(place, [child]) as supervisor:
        supervisor.run_until(lambda: supervisor.states() == {"child": "done"})
    assert child.log.read_text() == "yes too\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_children_in_order(place: Path, start: Start, number: signal.Signals) -> None:
    program = start("bare")
    assert program.stdout
    assert "worker" in program.stdout.readline()
    program.send_signal(number)
    assert program.wait(60) == 0
    order = (place / "order").read_text().split()
    assert order[:2] == ["+migrations", "+worker"]
    assert sorted(order[2:4]) == ["+beat", "+web"]
    assert sorted(order[4:6]) == ["-beat", "-web"]
    assert order[6:] == ["-worker"]


def test_a_second_signal_kills_immediately(place: Path, start: Start) -> None:
    program = start("bare", "stubborn")
    assert program.stdout
    assert "worker" in program.stdout.readline()
    program.send_signal(signal.SIGINT)
    wait_until(lambda: "deaf-worker" in (place / "order").read_text(), "the worker to ignore the signal")
    program.send_signal(signal.SIGINT)
    assert program.wait(60) == 0


def test_calls_back_between_the_stages_and_stops_despite_an_error(place: Path) -> None:
    calls: list[str] = []

    def fail() -> None:
        calls.append("stop")
        raise Fatal("the database can't be reached")

    first, second = shell(place, "exec sleep 1000", "first"), shell(place, "exec sleep 1000", "second")
    with supervised(place, [first], Callbacks(lambda: calls.append("start"), fail), [second]) as supervisor:
        assert supervisor.start()
        assert calls == ["start"]
    assert calls == ["start", "stop"]
    assert not processes_of(place)
