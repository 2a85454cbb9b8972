"""`spotisync status` and `history`: what goes on, and what went."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.options import Account, AsJson
from spotisync.cli.output import console, print_json, print_text
from spotisync.cli.resources import open_database

if TYPE_CHECKING:
    from spotisync.cli.formatting import Document
    from spotisync.store.database import Database

NOTHING = "No sync has run yet. Start one: spotisync sync full --wait"


def status(
    *,
    account: Account = None,
    watch: Annotated[bool, typer.Option("--watch", help="Draw it live, until Ctrl-C.")] = False,
    json: AsJson = False,
) -> None:
    """Say what the current run does, or how the last one ended; of each account, if there are several."""
    if watch and json:
        raise typer.BadParameter("--json prints one document, --watch never ends: choose one")
    with open_database() as database:
        look = _look(database, account)
        if json:
            each = look()
            print_json(each[0] if len(each) == 1 else each)
        elif watch:
            _watch(look)
        else:
            _print(look())


def history(
    *,
    account: Account = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: AsJson = False,
) -> None:
    """List the runs, the newest first."""
    from spotisync import status as read_model
    from spotisync.cli import progress
    from spotisync.settings import settings
    from spotisync.store import accounts

    with open_database() as database, database.begin() as connection:
        if account:
            accounts.find_account(connection, account)
        runs = read_model.history(connection, account, limit)
    if json:
        print_json(runs)
    elif runs:
        console().print(progress.runs_table(runs, settings().zone, console().width))
    else:
        print_text(NOTHING)


def _look(database: "Database", account: str | None) -> Callable[[], list["Document"]]:
    """The status document of this account, or of each that there is."""
    from spotisync import status as read_model
    from spotisync.settings import settings

    def look() -> list["Document"]:
        with database.begin() as connection:
            return read_model.documents(connection, settings(), account)

    return look


def _print(documents: list["Document"]) -> None:
    from spotisync.cli import progress

    for part in progress.separate([progress.render_run(each) for each in documents]):
        console().print(part)


def _watch(look: Callable[[], list["Document"]]) -> None:
    from spotisync.cli import polling, progress

    try:
        progress.draw_runs(polling.poll(look), console())
    except KeyboardInterrupt:
        return
