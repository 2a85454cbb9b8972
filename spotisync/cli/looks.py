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
            document(each[0] if len(each) == 1 else each)
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
    from spotisync.cli import bars
    from spotisync.settings import settings
    from spotisync.store import accounts

    with library() as database, database.begin() as connection:
        if account:
            accounts.named(connection, account)
        runs = read_model.history(connection, account, limit)
    if json:
        document(runs)
    elif runs:
        console().print(bars.runs_table(runs, settings().zone, console().width))
    else:
        say(NOTHING)


def _look(database: "Database", account: str | None) -> Callable[[], list["Document"]]:
    """The status document of this account, or of each that there is."""
    from spotisync import status as read_model
    from spotisync.settings import settings

    def look() -> list["Document"]:
        with database.begin() as connection:
            return read_model.documents(connection, settings(), account)

    return look


def _print(documents: list["Document"]) -> None:
    from spotisync.cli import bars

    for part in bars.between([bars.picture(each) for each in documents]):
        console().print(part)


def _watch(look: Callable[[], list["Document"]]) -> None:
    from spotisync.cli import bars, follow

    try:
        bars.draw_all(follow.looks(look), console())
    except KeyboardInterrupt:
        return
