"""`spotisync status` and `history`: current and past runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.context import AsJson, OneAccount, open_database
from spotisync.cli.output import console, print_json, print_text

if TYPE_CHECKING:
    from spotisync.cli.formatting import Document
    from spotisync.store.database import Database

# The largest LIMIT of Postgres.
MOST_RUNS: Final = 2**63 - 1
NO_RUNS = "No sync has run yet. Start one: spotisync sync full --wait"


def status(
    *,
    account: OneAccount = None,
    watch: Annotated[bool, typer.Option("--watch", help="Update continuously, until Ctrl-C.")] = False,
    json: AsJson = False,
) -> None:
    """Show the current or last run of each account."""
    if watch and json:
        raise typer.BadParameter("--watch can't be combined with --json")
    with open_database() as database:
        read = _make_reader(database, account)
        if json:
            documents = read()
            print_json(documents[0] if len(documents) == 1 else documents)
        elif watch:
            _watch(read)
        else:
            _print(read())


def history(
    *,
    account: OneAccount = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs.")] = 20,
    json: AsJson = False,
) -> None:
    """List the runs, newest first."""
    from spotisync import status as read_model
    from spotisync.cli import progress
    from spotisync.settings import settings
    from spotisync.store import accounts

    with open_database() as database, database.begin() as connection:
        name = accounts.find_account(connection, account).spotify_user_id if account else None
        runs = read_model.history(connection, name, min(limit, MOST_RUNS))
    if json:
        print_json(runs)
    elif runs:
        console().print(progress.runs_table(runs, settings().zone, console().width))
    else:
        print_text(NO_RUNS)


def _make_reader(database: "Database", account: str | None) -> Callable[[], list["Document"]]:
    """Return a function that reads the status document of the account, or of each account."""
    from spotisync import status as read_model
    from spotisync.settings import settings

    def read() -> list["Document"]:
        with database.begin() as connection:
            return read_model.documents(connection, settings(), account)

    return read


def _print(documents: list["Document"]) -> None:
    from spotisync.cli import progress
    from spotisync.status.messages import count_of

    for part in progress.separate_by_blank_lines([progress.render_run(each) for each in documents]):
        console().print(part)
    if more := documents[0]["more_accounts"]:
        print_text(f"\n{count_of(more, 'more account')}: spotisync status --account ACCOUNT")


def _watch(read: Callable[[], list["Document"]]) -> None:
    from spotisync.cli import polling, progress

    try:
        progress.draw_runs(polling.poll(read), console())
    except KeyboardInterrupt:
        return
