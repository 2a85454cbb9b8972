"""`spotisync status` and `history`: what goes on, and what went."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from spotisync.cli.opened import library
from spotisync.cli.options import Account, AsJson
from spotisync.cli.output import console, document, say

if TYPE_CHECKING:
    from spotisync.cli.words import Document
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
    with library() as database:
        look = _look(database, account)
        if json:
            each = look()
            document([run for run in each if run] if len(each) > 1 else next(iter(each), None))
        elif watch:
            _watch(look)
        else:
            _print([run for run in look() if run])


def history(
    *,
    account: Account = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: AsJson = False,
) -> None:
    """List the runs, the newest first."""
    from spotisync import status as read_model
    from spotisync.cli import bars
    from spotisync.store import accounts

    with library() as database, database.begin() as connection:
        if account:
            accounts.named(connection, account)
        runs = read_model.history(connection, account, limit)
    if json:
        document(runs)
    elif runs:
        console().print(bars.runs_table(runs))
    else:
        say(NOTHING)


def _look(database: "Database", account: str | None) -> Callable[[], list["Document | None"]]:
    """Of this account, or of each that there is, the current or last run, if it has one."""
    from spotisync import status as read_model
    from spotisync.store import accounts

    def look() -> list["Document | None"]:
        with database.begin() as connection:
            chosen = [accounts.named(connection, account)] if account else accounts.every(connection)
            return [read_model.latest(connection, each.spotify_user_id) for each in chosen]

    return look


def _print(runs: list["Document"]) -> None:
    from spotisync.cli import bars

    for run in runs:
        console().print(bars.picture(run))
    if not runs:
        say(NOTHING)


def _watch(look: Callable[[], list["Document | None"]]) -> None:
    from spotisync.cli import bars, follow

    looks = ([run for run in each if run] for each in follow.looks(look))
    try:
        bars.draw_all(looks, console(), NOTHING)
    except KeyboardInterrupt:
        return
