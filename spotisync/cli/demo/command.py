"""The demo from start to finish. Only Spotify is simulated; the sync, the worker and the servers are real."""

import socket
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.exit_codes import DONE, FAILED, INTERRUPTED
from spotisync.cli.output import console, print_text, program_name, show_stack_events

if TYPE_CHECKING:
    from spotisync.cli.demo.history import HistoryImport
    from spotisync.cli.formatting import Document
    from spotisync.cli.polling import Observation
    from spotisync.settings import Settings
    from spotisync.simulator import Control
    from spotisync.stack.process import Process
    from spotisync.stack.supervisor import Stage, Supervisor
    from spotisync.sync import Context

LATENCY_MS: Final = 200
"""Average latency of a simulated response: that of a slow Spotify, so that the bars visibly move."""
LIBRARY: Final = "small"
PLAYS_IMPORTED: Final = """
[bold]Imported[/] {plays:,} plays from four years of streaming history. See them at [bold]{page}/stats[/]"""

STILL_RUNNING: Final = """
Everything keeps running. Web page: [bold]{page}[/]. To query this library, in another terminal:
    [bold]{program} psql --demo[/]
    [bold]{program} status --demo[/], or any other command
Ctrl-C stops everything; the next demo starts with an empty library."""

Exit = Annotated[bool, typer.Option("--exit", help="Stop everything when the sync has ended; exit 0 only on success.")]


def demo(*, exit: Exit = False) -> None:  # noqa: A002 (the option's name)
    """Run a full sync against a simulated Spotify, in half a minute.

    The demo needs no Spotify account and no other software. It starts
    PostgreSQL, a broker, a worker, beat, the web page and a Spotify simulator;
    syncs a library of a few thousand tracks with live progress; imports four
    years of plays; compares the tables with the simulator's data; and runs
    example queries. It uses its own data directory. Ctrl-C stops everything; an interrupted demo continues where
    it stopped.
    """
    from spotisync.cli import processes
    from spotisync.cli.demo import environment
    from spotisync.simulator import Control
    from spotisync.stack.directories import lock_data_dir
    from spotisync.stack.restarts import RestartPolicy
    from spotisync.stack.supervisor import Supervisor

    show_stack_events()
    # The demo invites the user to kill the worker, repeatedly.
    restarts = RestartPolicy(first=0.2, longest=1, failures=50)
    simulator = Control(f"http://127.0.0.1:{_find_free_port()}", timeout=20)
    chosen = environment.use_simulator(simulator.url)
    with lock_data_dir(chosen.data_dir):
        chosen = environment.use_free_port()
        environment.publish_environment(chosen)
        environment.reset_library(chosen.data_dir)
        with Supervisor(_stages(chosen, simulator), restarts) as supervisor:
            code = _run_sync_and_report(chosen, simulator, supervisor)
            if not exit and not supervisor.interrupted:
                print_text(STILL_RUNNING.format(program=program_name(), page=processes.page_url(chosen)), markup=True)
                supervisor.run_until(lambda: False)
    print_text("Stopped.")
    raise typer.Exit(code)


def _run_sync_and_report(chosen: "Settings", simulator: "Control", supervisor: "Supervisor") -> int:
    from spotisync.cli import processes
    from spotisync.cli.context import open_context
    from spotisync.cli.demo import environment, results
    from spotisync.cli.demo.history import HistoryImport

    if not supervisor.start():
        return INTERRUPTED
    print_text(f"Web page: {processes.page_url(chosen)}")
    with open_context(chosen) as context, HistoryImport(chosen, LIBRARY) as history:
        run = _run_sync(context, simulator, supervisor, history)
        if run is None:
            return INTERRUPTED
        environment.mark_finished(chosen.data_dir)
        is_correct = results.show(context.database, run, simulator.truth(run["account"]))
        is_imported = _report_import(context, chosen, history)
    print_text(results.NEXT_STEPS.format(program=program_name()), markup=True)
    return DONE if is_correct and is_imported and run["status"] == "success" else FAILED


def _report_import(context: "Context", chosen: "Settings", history: "HistoryImport") -> bool:
    """Returns whether the plays were imported."""
    from spotisync.cli import processes
    from spotisync.store import demo_queries

    if history.problem:
        print_text(f"The plays were not imported: {history.problem}")
        return False
    with context.database.begin() as connection:
        plays = demo_queries.count_imported_plays(connection)
    print_text(PLAYS_IMPORTED.format(plays=plays, page=processes.page_url(chosen)), markup=True)
    return True


def _run_sync(
    context: "Context", simulator: "Control", supervisor: "Supervisor", history: "HistoryImport"
) -> "Document | None":
    """Start or resume the sync, import the plays beside it, and draw it until both have ended.

    Returns None if interrupted.
    """
    from spotisync import canvas
    from spotisync.cli import polling, progress
    from spotisync.sync import accounts, runs

    account = accounts.add(context, simulator.info()["accounts"][0]["refresh_token"], None)
    triggered = runs.trigger(context, account.spotify_user_id, "full", "cli")
    if not triggered.created:
        print_text(f"The last demo was interrupted; run {triggered.run.id} continues where it stopped.")
    # If the broker still has the message of the last demo, the worker drops one of the two as a duplicate.
    canvas.publish(triggered.run)
    read = polling.make_run_reader(context.database, triggered.run.id)
    print_text()
    observations = _supervise(supervisor, history, polling.poll_until_finished(read))
    progress.draw_run(observations, console(), lambda: _worker_hint(supervisor))
    supervisor.run_until(history.tick)
    if supervisor.interrupted:
        print_text(f"Interrupted. The next demo resumes run {triggered.run.id}.")
        return None
    return read()


def _supervise(
    supervisor: "Supervisor", history: "HistoryImport", observations: "Iterable[Observation[Document]]"
) -> "Iterator[Observation[Document]]":
    """Check the processes before each observation; end when interrupted."""
    for each in observations:
        supervisor.tick()
        tracks = each.value["phases"].get("tracks", {})
        history.tick(may_import=tracks.get("status") == "success")
        if supervisor.interrupted:
            return
        yield each


def _worker_hint(supervisor: "Supervisor") -> tuple[str, ...]:
    worker = supervisor.pids().get("worker")
    if worker is None:
        return ("[yellow]The worker was killed; it is restarting, and the sync will continue.[/]",)
    return (f"Try it: [bold]kill -9 {worker}[/] kills the worker. The sync continues.",)


def _stages(chosen: "Settings", simulator: "Control") -> "list[Stage]":
    from spotisync.cli import processes

    return [
        [_simulator_process(chosen, simulator), *processes.server_processes(chosen)],
        processes.database_step(chosen),
        [processes.worker_process(chosen), processes.beat_process(chosen), processes.web_process(chosen)],
    ]


def _simulator_process(chosen: "Settings", control: "Control") -> "Process":
    from spotisync.stack.process import ChildSpec, Process

    port = control.url.rpartition(":")[2]
    options = ("--library", LIBRARY, "--latency-ms", str(LATENCY_MS), "--port", port)
    argv = (sys.executable, "-m", "spotisync.simulator", *options)
    return Process(ChildSpec(name="simulator", argv=argv, ready=lambda: _answers(control)), chosen.data_dir)


def _answers(control: "Control") -> bool:
    try:
        control.info()
    except (OSError, ValueError):
        return False
    return True


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
