"""`spotisync sync`, `cancel` and `resume`: start, cancel and resume runs."""

from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.context import Account, AsJson, RunId, Wait, open_context
from spotisync.cli.exit_codes import DONE, FAILED, INTERRUPTED, LOGIN_NEEDED
from spotisync.cli.output import console, print_json, print_text
from spotisync.core.oauth import LOGIN

if TYPE_CHECKING:
    from spotisync.cli.formatting import Document
    from spotisync.sync import Context
    from spotisync.sync.runs import SyncType, Triggered

app = typer.Typer(help="Start a sync now.", no_args_is_help=True)

Key = Annotated[
    str | None,
    typer.Option("--idempotency-key", help="Start at most one run per key; repeating the key joins that run."),
]


@app.command(epilog="Example: spotisync sync full --wait")
def full(*, account: Account = None, idempotency_key: Key = None, wait: Wait = False, json: AsJson = False) -> None:
    """Read the whole library.

    Prints what it is expected to cost in Spotify calls. It may also spend the
    calls that scheduled syncs leave: spotisync budget.

    If a full sync of the account is unfinished, this command joins it.
    """
    _sync("full", account, idempotency_key, wait=wait, json=json)


@app.command(epilog="Example: spotisync sync incremental --wait")
def incremental(
    *, account: Account = None, idempotency_key: Key = None, wait: Wait = False, json: AsJson = False
) -> None:
    """Read only what has changed, with a few Spotify calls.

    If an incremental sync of the account is unfinished, or a full sync is
    running, this command joins it.
    """
    _sync("incremental", account, idempotency_key, wait=wait, json=json)


def _sync(sync_type: "SyncType", account: str | None, key: str | None, *, wait: bool, json: bool) -> None:
    from spotisync.status import call_costs
    from spotisync.sync import runs

    with open_context() as context:
        with context.database.begin() as connection:
            cost = call_costs.describe_cost(connection, context.settings, account, sync_type)
        triggered = runs.trigger(context, account, sync_type, "cli", idempotency_key=key)
        if (triggered.created or triggered.spends_reserve) and not json:
            print_text(cost)
        publish(triggered, json=json)
        _report(context, triggered, wait=wait, json=json, action="started")


def resume(sync_id: RunId, *, wait: Wait = False, json: AsJson = False) -> None:
    """Resume a failed or cancelled run from its checkpoints."""
    from spotisync.sync import runs

    with open_context() as context:
        triggered = runs.resume(context, sync_id)
        publish(triggered, json=json)
        _report(context, triggered, wait=wait, json=json, action="resumed")


def cancel(sync_id: RunId) -> None:
    """Cancel a run.

    The run can be queued, running or paused. Items read so far are kept;
    resume continues from there.
    """
    from spotisync import canvas
    from spotisync.sync import runs

    with open_context() as context:
        run = runs.cancel(context, sync_id)
    canvas.request_sweep()
    print_text(f"Run {run.id} of {run.account}: cancelled. Resume it: spotisync resume {run.id}")


def publish(triggered: "Triggered", *, json: bool) -> None:
    """Publish a run that this command has started.

    Without the broker the run starts later; this is not a failure, so the exit code is not 3.
    """
    from spotisync import canvas

    if triggered.created and not canvas.publish(triggered.run):
        print_text(
            f"The broker can't be reached. Run {triggered.run.id} is stored, and starts within a minute after the "
            "broker is back, if beat and a worker are running. Find the cause: spotisync doctor",
            stderr=json,
        )


def _report(context: "Context", triggered: "Triggered", *, wait: bool, json: bool, action: str) -> None:
    if not json:
        print_text(describe(triggered, action))
    if wait:
        raise typer.Exit(_wait(context, triggered.run.id, json=json))
    if json:
        print_json(read_summary(context, triggered.run.id))
    else:
        print_text("Watch its progress: spotisync status --watch")


def describe(triggered: "Triggered", action: str) -> str:
    from spotisync.status.messages import STATUS_LABELS

    run = triggered.run
    if triggered.created:
        kind = "a full sync" if run.sync_type == "full" else f"an {run.sync_type} sync"
        return f"Run {run.id}, {kind} of {run.account}: {action}."
    if triggered.spends_reserve:
        return f"Joined run {run.id} of {run.account}: it continues within seconds, with the reserve of the budget."
    return f"Joined run {run.id} of {run.account}: {STATUS_LABELS[run.status]}."


def _wait(context: "Context", sync_id: int, *, json: bool) -> int:
    """Show progress until the run ends, with `--json` on stderr. Returns the exit code."""
    from spotisync.cli import polling, progress

    read = polling.make_run_reader(context.database, sync_id)
    try:
        progress.draw_run(polling.poll_until_finished(read), console(stderr=json))
    except KeyboardInterrupt:
        print_text(
            f"Run {sync_id} continues in the background. Watch it: spotisync status --watch; "
            f"cancel it: spotisync cancel {sync_id}",
            stderr=True,
        )
        return INTERRUPTED
    if json:
        print_json(read_summary(context, sync_id))
    return _exit_code(context, read())


def read_summary(context: "Context", sync_id: int) -> "Document":
    from spotisync import status

    with context.database.begin() as connection:
        return status.summary(connection, sync_id)


def _exit_code(context: "Context", run: "Document") -> int:
    from spotisync.store import accounts

    if run["status"] == "success":
        return DONE
    with context.database.begin() as connection:
        needs_login = accounts.find_account(connection, run["account"]).status == "needs_login"
    needs_login = needs_login or LOGIN in (run["last_error"] or "")  # a missing scope
    return LOGIN_NEEDED if needs_login else FAILED
