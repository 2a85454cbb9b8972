"""The rows as tables of one shape, readable at 100 columns."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row, median

WIDTH = 100
NOTE = "Small sizes and few repetitions: it says that everything works, not how fast it is."


def show(rows: Sequence[Row], machine: str, *, quick: bool) -> None:
    console = Console(width=WIDTH, highlight=False)
    for section, of_it in groupby(rows, lambda row: row.section):
        console.print(_table(section, of_it))
        console.print()
    console.print(machine, style="dim")
    if quick:
        console.print(NOTE, style="yellow")


def _table(section: str, rows: Iterable[Row]) -> Table:
    table = Table(title=section, title_style="bold", title_justify="left", box=None, header_style="dim")
    table.padding = (0, 1, 0, 0)
    table.add_column("", width=29)
    table.add_column("", width=5)
    for name, width in (("n", 4), ("min", 7), ("median", 7), ("p99", 7), ("max", 7)):
        table.add_column(name, justify="right", width=width)
    table.add_column("", style="dim")
    for row in rows:
        table.add_row(row.what, row.unit, str(len(row.samples)), *_figures(row), row.remark)
    return table


def _figures(row: Row) -> tuple[str, str, str, str]:
    middle = number(median(row.samples), row.unit)
    if len(row.samples) == 1:
        return "", middle, "", ""
    p99 = "" if row.p99 is None else number(row.p99, row.unit)
    return number(min(row.samples), row.unit), middle, p99, number(max(row.samples), row.unit)


def number(value: float, unit: str) -> str:
    """Three digits are all that the noise leaves; what was counted is whole."""
    if unit not in {"s", "ms", "MB", "x"}:
        return f"{value:,.0f}"
    return f"{value:,.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
