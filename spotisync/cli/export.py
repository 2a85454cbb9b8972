"""`spotisync export`: library and plays as CSV or JSON Lines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from spotisync.cli.context import Account, AsJson, open_database
from spotisync.cli.output import open_stdout, print_json, print_text, progress_on_stderr
from spotisync.core.tables import TABLES, Format, Table

STDOUT: Final = Path("-")
FORMULAS: Final = (
    "Leave CSV cells that begin with =, +, -, @, tab or CR as they are. By default they get an apostrophe, since a "
    "spreadsheet would run a name as a formula."
)


def export(
    to: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Target directory, or - for stdout with one --only.")],
    *,
    account: Account = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="TABLE",
            help=f"Export only this table; can be repeated. One of {', '.join(TABLES)}.",
            show_default="all",
        ),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="CSV with a header, or JSON Lines.")] = "csv",
    removed: Annotated[
        bool, typer.Option("--removed", help="Include removed items, with the time of removal.")
    ] = False,
    formulas: Annotated[bool, typer.Option("--formulas", help=FORMULAS)] = False,
    json: AsJson = False,
) -> None:
    """Export the library and the plays, one file per table, from one snapshot.

    Only you can read the files.
    """
    from spotisync.sync.export import Export

    tables = _parse_tables(only or [*TABLES])
    if to == STDOUT and (len(tables) != 1 or json):
        raise typer.BadParameter("stdout takes exactly one table, without --json: --only saved_tracks", param_hint="-")
    with open_database() as database, _progress(shown=not json) as show:
        request = Export(database, account, format_, show, removed=removed, formulas=formulas)
        if to == STDOUT:
            request.to_stream(tables[0], open_stdout())
            sys.stdout.flush()
            return
        written = request.to_directory(tables, to)
    _report(written, json=json)


def _report(written: dict[Path, int], *, json: bool) -> None:
    if json:
        print_json([{"file": str(path), "rows": rows} for path, rows in written.items()])
    else:
        for path, rows in written.items():
            print_text(f"{path}: {rows:,} rows")


def _parse_tables(names: list[str]) -> list[Table]:
    """Validate the names, since Typer does not support lists of literals."""
    for name in names:
        if name not in TABLES:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(TABLES)}", param_hint="--only")
    return [table for table in TABLES if table in names]


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[Table, int, int], None]]:
    """Show a bar per table."""
    with progress_on_stderr(shown=shown) as progress:
        tasks = {}

        def show(table: Table, rows: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table)
            progress.update(tasks[table], completed=rows, total=total)

        yield show
