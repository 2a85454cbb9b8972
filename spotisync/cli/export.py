"""`spotisync export`: the library and the plays, for other programs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spotisync.cli.options import Account, AsJson
from spotisync.cli.output import console, print_json, print_text
from spotisync.cli.resources import open_database
from spotisync.core.tables import TABLES, Format, Table

if TYPE_CHECKING:
    from spotisync.sync.export import Tell

STDOUT: Final = Path("-")


def export(
    to: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Made if it is not there. With one --only, - is stdout.")
    ],
    *,
    account: Account = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="TABLE",
            help=f"This one of {', '.join(TABLES)}; give it again for more.",
            show_default="all of them",
        ),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="A table for spreadsheets, or one JSON object a line.")
    ] = "csv",
    removed: Annotated[
        bool, typer.Option("--removed", help="Also what is no longer saved, with the day it went.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write the library and the plays to files: one a table, all of one moment, of any size."""
    from spotisync.sync.export import export_to_directory

    tables = _known(only or [*TABLES])
    if to == STDOUT:
        _to_stdout(account, tables, format_, removed=removed, json=json)
        return
    with open_database() as database, _bars(shown=not json) as tell:
        written = export_to_directory(database, account, tables, format_, to, tell, removed=removed)
    if json:
        print_json([{"file": str(path), "rows": rows} for path, rows in written.items()])
    else:
        for path, rows in written.items():
            print_text(f"{path}: {rows:,} rows")


def _known(names: list[str]) -> list[Table]:
    """Typer knows no list of literals."""
    for name in names:
        if name not in TABLES:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(TABLES)}", param_hint="--only")
    return [table for table in TABLES if table in names]


def _to_stdout(account: str | None, tables: list[Table], format_: Format, *, removed: bool, json: bool) -> None:
    from spotisync.sync.export import export_to_stream

    if len(tables) != 1 or json:
        raise typer.BadParameter("stdout takes one table, and nothing beside it: --only saved_tracks", param_hint="-")
    with open_database() as database, _bars(shown=True) as tell:
        export_to_stream(database, account, tables[0], format_, sys.stdout.buffer, tell, removed=removed)
        sys.stdout.flush()


@contextmanager
def _bars(*, shown: bool) -> Iterator["Tell"]:
    """On stderr, one a table."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not (shown and screen.is_terminal)) as progress:
        tasks = {}

        def tell(table: Table, rows: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table)
            progress.update(tasks[table], completed=rows, total=total)

        yield tell
