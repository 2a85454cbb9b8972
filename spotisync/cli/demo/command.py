"""The demo from start to end. The sync, the worker and the servers are the real ones, only Spotify is simulated."""

import socket
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.exit_codes import DONE, FAILED, INTERRUPTED
from spotisync.cli.output import console, print_text, program_name, show_stack_events

if TYPE_CHECKING:
    from spotisync.cli.formatting import Document
    from spotisync.cli.polling import Observation
    from spotisync.settings import Settings
    from spotisync.simulator import Control
    from spotisync.stack.process import Process
    from spotisync.stack.supervisor import Stage, Supervisor
    from spotisync.sync import Context

LATENCY_MS: Final = 200
"""Of a simulated reply, on average: as on a slow day of Spotify's, so that the bars are seen to move."""

STAYING: Final = """
All of it keeps running. The page: [bold]{page}[/]. A prompt on this library, in another terminal:
    [bold]{program} psql --demo[/]
Ctrl-C stops everything; the next demo begins with an empty library."""

Exit = Annotated[bool, typer.Option("--exit", help="Stop everything when the sync is over; exit 0 only on success.")]


def demo(*, exit: Exit = False) -> None:  # noqa: A002 (the option's name)
    """See a whole sync on this machine, in half a minute, with nothing installed and no Spotify account.

    Starts a real PostgreSQL and a real broker, a worker, a scheduler and a simulated Spotify; syncs a library of a few
    thousand tracks with live bars; compares the tables with the truth, and asks them something. All of it lives in a
    directory of its own and ends with Ctrl-C. A demo that was cut short goes on where it was.
    """
    from spotisync.cli import processes
    from spotisync.cli.demo import environment
    from spotisync.simulator import Control
    from spotisync.stack.lock import lock_data_dir
    from spotisync.stack.restarts import RestartPolicy
    from spotisync.stack.supervisor import Supervisor

    show_stack_events()
    # Whoever watches is invited to kill the worker, again and again.
    patience = RestartPolicy(first=0.2, longest=1, failures=50)
    simulator = Control(f"http://127.0.0.1:{_free_port()}", timeout=20)
    chosen = environment.use_simulator(simulator.url)
    with lock_data_dir(chosen.data_dir):
        chosen = environment.use_free_port()
        environment.prepare_library(chosen.data_dir)
        with Supervisor(_stages(chosen, simulator), patience) as supervisor:
            code = _sync_and_show(chosen, simulator, supervisor)
            if not exit and not supervisor.interrupted:
                print_text(STAYING.format(program=program_name(), page=processes.page_url(chosen)), markup=True)
                supervisor.run_until(lambda: False)
    print_text("Stopped.")
    raise typer.Exit(code)


def _sync_and_show(chosen: "Settings", simulator: "Control", supervisor: "Supervisor") -> int:
    from spotisync.cli import processes
    from spotisync.cli.demo import environment, results
    from spotisync.sync import Context

    if not supervisor.start():
        return INTERRUPTED
    print_text(f"In a browser: {processes.page_url(chosen)}")
    context = Context.from_settings(chosen)
    try:
        run = _sync(context, simulator, supervisor)
        if run is None:
            return INTERRUPTED
        environment.mark_finished(chosen.data_dir)
        right = results.show(context.database, run, simulator.truth(run["account"]))
    finally:
        context.close()
    print_text(results.NEXT.format(program=program_name()), markup=True)
    return DONE if right and run["status"] == "success" else FAILED


def _sync(context: "Context", simulator: "Control", supervisor: "Supervisor") -> "Document | None":
    """Start the sync, or go on with it, and draw it until it is over. None: interrupted before that."""
    from spotisync import canvas
    from spotisync.cli import polling, progress
    from spotisync.sync import accounts
    from spotisync.sync import runs as lifecycle

    account = accounts.add(context, simulator.info()["accounts"][0]["refresh_token"], None)
    triggered = lifecycle.trigger(context, account.spotify_user_id, "full", "cli")
    if not triggered.created:
        print_text(f"The last demo was cut short: run {triggered.run.id} goes on where it was.")
    # A message that the last demo's broker may have kept makes this one a duplicate, which is dropped.
    canvas.publish(triggered.run)
    look = polling.make_run_reader(context.database, triggered.run.id)
    print_text()
    progress.draw_run(_attended(supervisor, polling.poll_until_finished(look)), console(), lambda: _hint(supervisor))
    if supervisor.interrupted:
        print_text(f"Cut short. The next demo goes on with run {triggered.run.id} where it was.")
        return None
    return look()


def _attended(supervisor: "Supervisor", runs: "Iterable[Observation[Document]]") -> "Iterator[Observation[Document]]":
    """Look after the processes with each look at the run; end when interrupted."""
    for run in runs:
        supervisor.tick()
        if supervisor.interrupted:
            return
        yield run


def _hint(supervisor: "Supervisor") -> tuple[str, ...]:
    worker = supervisor.pids().get("worker")
    if worker is None:
        return ("[yellow]The worker is gone; it is started again, and the sync goes on by itself.[/]",)
    return (f"Try it: [bold]kill -9 {worker}[/] kills the worker. Watch the sync go on.",)


def _stages(chosen: "Settings", simulator: "Control") -> "list[Stage]":
    from spotisync.cli import processes
    from spotisync.store import migrate

    return [
        [_simulator(chosen, simulator), *processes.server_processes(chosen)],
        lambda: migrate.upgrade(chosen.database),
        [processes.worker_process(chosen), processes.beat_process(chosen), processes.web_process(chosen)],
    ]


def _simulator(chosen: "Settings", control: "Control") -> "Process":
    from spotisync.stack.process import ChildSpec, Process

    port = control.url.rpartition(":")[2]
    options = ("--library", "small", "--latency-ms", str(LATENCY_MS), "--port", port)
    argv = (sys.executable, "-m", "spotisync.simulator", *options)
    return Process(ChildSpec(name="simulator", argv=argv, ready=lambda: _answers(control)), chosen.data_dir)


def _answers(control: "Control") -> bool:
    try:
        control.info()
    except (OSError, ValueError):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
