"""`spotisync sync`, `cancel` and `resume`: a run begins, ends, goes on."""

from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.exit_codes import DONE, FAILED, INTERRUPTED, LOGIN_NEEDED
from spotisync.cli.options import Account, AsJson, RunId, Wait
from spotisync.cli.output import console, print_json, print_text
from spotisync.cli.resources import open_context
from spotisync.core.oauth import LOGIN

if TYPE_CHECKING:
    from spotisync.cli.formatting import Document
    from spotisync.sync import Context
    from spotisync.sync.runs import SyncType, Triggered

app = typer.Typer(help="Sync a library now.", no_args_is_help=True)

Key = Annotated[
    str | None, typer.Option("--idempotency-key", help="The same key again means the same run, not another one.")
]


@app.command(epilog="Example: spotisync sync full --wait")
def full(*, account: Account = None, idempotency_key: Key = None, wait: Wait = False, json: AsJson = False) -> None:
    """Read the whole library. If such a run is unfinished already, this joins it."""
    _sync("full", account, idempotency_key, wait=wait, json=json)


@app.command(epilog="Example: spotisync sync incremental --wait")
def incremental(
    *, account: Account = None, idempotency_key: Key = None, wait: Wait = False, json: AsJson = False
) -> None:
    """Read what has changed, for a handful of calls. Joins a full sync that is going, which reads all of that too."""
    _sync("incremental", account, idempotency_key, wait=wait, json=json)


def _sync(sync_type: "SyncType", account: str | None, key: str | None, *, wait: bool, json: bool) -> None:
    from spotisync import workflow
    from spotisync.sync import runs

    with open_context() as context:
        triggered = runs.trigger(context, account, sync_type, "cli", idempotency_key=key)
        if triggered.created and not workflow.publish(triggered.run):
            _tell_that_it_starts_later(triggered.run.id, json=json)
        _go_on(context, triggered, wait=wait, json=json, began="started")


def resume(sync_id: RunId, *, wait: Wait = False, json: AsJson = False) -> None:
    """Go on with a run that failed or was cancelled, from its checkpoints."""
    from spotisync import workflow
    from spotisync.sync import runs

    with open_context() as context:
        triggered = runs.resume(context, sync_id)
        if triggered.created and not workflow.publish(triggered.run):
            _tell_that_it_starts_later(triggered.run.id, json=json)
        _go_on(context, triggered, wait=wait, json=json, began="goes on")


def cancel(sync_id: RunId) -> None:
    """End a run now, whatever it is doing or waiting for; what it has read is stored."""
    from spotisync import workflow
    from spotisync.sync import runs

    with open_context() as context:
        run = runs.cancel(context, sync_id)
    workflow.request_sweep()
    print_text(f"Run {run.id} of {run.account} is cancelled. Go on with it: spotisync resume {run.id}")


def _tell_that_it_starts_later(sync_id: int, *, json: bool) -> None:
    """It will be done, so that this is no failure: exit code 3 would say that what was asked for is not."""
    print_text(
        f"The broker can't be reached. Run {sync_id} is stored, and starts by itself within a minute of the broker's "
        "return, if beat and a worker run. See what is wrong: spotisync doctor",
        stderr=json,
    )


def _go_on(context: "Context", triggered: "Triggered", *, wait: bool, json: bool, began: str) -> None:
    if not json:
        print_text(_announcement(triggered, began))
    if wait:
        raise typer.Exit(_wait(context, triggered.run.id, json=json))
    if json:
        print_json(_summary(context, triggered.run.id))
    else:
        print_text("Watch it: spotisync status --watch")


def _announcement(triggered: "Triggered", began: str) -> str:
    run = triggered.run
    if triggered.created:
        kind = "a full sync" if run.sync_type == "full" else f"an {run.sync_type} sync"
        return f"Run {run.id}, {kind} of {run.account}, {began}."
    return f"Joined run {run.id} of {run.account}, which is {run.status.replace('_', ' ')}."


def _wait(context: "Context", sync_id: int, *, json: bool) -> int:
    """Draw it until it is over; with `--json` on stderr. Returns the exit code."""
    from spotisync.cli import polling, progress

    look = polling.run_reader(context.database, sync_id)
    try:
        progress.draw_run(polling.poll_until_finished(look), console(stderr=json))
    except KeyboardInterrupt:
        print_text(
            f"Run {sync_id} goes on without you. Watch it: spotisync status --watch; "
            f"end it: spotisync cancel {sync_id}",
            stderr=True,
        )
        return INTERRUPTED
    if json:
        print_json(_summary(context, sync_id))
    return _exit_code(context, look())


def _summary(context: "Context", sync_id: int) -> "Document":
    from spotisync import status

    with context.database.begin() as connection:
        return status.summary(connection, sync_id)


def _exit_code(context: "Context", run: "Document") -> int:
    from spotisync.store import accounts

    if run["status"] == "success":
        return DONE
    with context.database.begin() as connection:
        needs_login = accounts.find_account(connection, run["account"]).status == "needs_login"
    needs_login = needs_login or LOGIN in (run["last_error"] or "")  # a scope is missing
    return LOGIN_NEEDED if needs_login else FAILED
