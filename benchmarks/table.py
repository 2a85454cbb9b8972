"""The rows as one table, readable at 100 columns."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row

WIDTH = 100


def show(rows: Sequence[Row], machine: str, *, quick: bool) -> None:
    # A file or a pipe gets the same table.
    console = Console(width=None if Console().is_terminal else WIDTH, highlight=False)
    console.print(_table(rows))
    console.print(machine, style="dim")
    if quick:
        console.print("Small sizes and few repetitions: a smoke test, no figures to quote.", style="yellow")


def _table(rows: Sequence[Row]) -> Table:
    table = Table(pad_edge=False, box=None, header_style="bold")
    table.add_column("", ratio=1)
    for name in ("n", "min", "median", "p99", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for section, of_it in groupby(rows, lambda row: row.section):
        table.add_row(f"[bold cyan]{section}[/]")
        for row in of_it:
            table.add_row(*_cells(row))
        table.add_row()
    return table


def _cells(row: Row) -> tuple[str, ...]:
    p99 = "" if row.p99 is None else number(row.p99, row.unit)
    values = (min(row.samples), row.as_dict()["median"], max(row.samples))
    least, middle, most = (number(value, row.unit) for value in values)
    return (f"  {row.what}, {row.unit}", str(len(row.samples)), least, middle, p99, most, f"[dim]{row.remark}[/]")


def number(value: float, unit: str) -> str:
    """Three digits are all that the noise leaves; what was counted is whole."""
    if unit not in {"s", "ms", "MB", "x"}:
        return f"{value:,.0f}"
    return f"{value:,.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
