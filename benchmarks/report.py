"""Measurements, their statistics, and the tables that show them."""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from spotisync.stack.binaries import postgres_version

T = TypeVar("T")
MIN_SAMPLES_FOR_P99 = 100
FSYNCS = 50
WIDTH = 100
NOTE = "Small sizes and few repetitions: this shows that everything works, not how fast it is."


@dataclass(frozen=True)
class Measurement:
    """Samples of one quantity. `unit` is s, ms, MB, kB, x (a ratio), %, or what was counted.

    A section whose measurements have a `column` is shown as a table of medians.
    """

    section: str
    what: str
    unit: str
    samples: tuple[float, ...]
    remark: str = ""
    column: str = ""

    @property
    def p99(self) -> float | None:
        return percentile(self.samples, 99) if len(self.samples) >= MIN_SAMPLES_FOR_P99 else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "what": self.what,
            "column": self.column,
            "unit": self.unit,
            "n": len(self.samples),
            "min": min(self.samples),
            "median": median(self.samples),
            "p99": self.p99,
            "max": max(self.samples),
            "remark": self.remark,
        }


def percentile(samples: Iterable[float], percent: float) -> float:
    """Return the smallest sample that at least `percent` % of the samples do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)]


def median(samples: Iterable[float]) -> float:
    return percentile(samples, 50)


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> tuple[float, ...]:
    """Divide pair by pair: the two parts of a pair ran one after the other, under the same noise."""
    return tuple(mine / other for mine, other in zip(ours, theirs, strict=True))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the duration in milliseconds, and the result."""
    started = perf_counter()
    result = work()
    return (perf_counter() - started) * 1000, result


def describe_machine(directory: Path) -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.machine()}"
    disk, load = f"fsync {_measure_fsync(directory):.1f} ms", f"load {os.getloadavg()[0]:.1f} at the start"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{cores} cores, {system}, {python}, PostgreSQL {postgres_version()}, {disk}, {load}"


def _measure_fsync(directory: Path) -> float:
    """Measure the minimal cost of a commit on the disk of the database."""
    probe = directory / "fsync"
    with probe.open("wb", buffering=0) as file:
        duration = median([timed(lambda: _write_page(file.fileno()))[0] for _ in range(FSYNCS)])
    probe.unlink()
    return duration


def _write_page(file: int) -> None:
    os.pwrite(file, b"\0" * 8192, 0)
    os.fsync(file)


def show(measurements: Sequence[Measurement], machine: str, *, quick: bool) -> None:
    console = Console(width=WIDTH, highlight=False)
    for section, group in groupby(measurements, lambda each: each.section):
        rows = list(group)
        console.print(_medians(section, rows) if rows[0].column else _table(section, rows))
        console.print()
    console.print(machine, style="dim")
    if quick:
        console.print(NOTE, style="yellow")


def _empty_table(section: str) -> Table:
    table = Table(title=section, title_style="bold", title_justify="left", box=None, header_style="dim")
    table.padding = (0, 1, 0, 0)
    return table


def _medians(section: str, rows: Sequence[Measurement]) -> Table:
    table, columns = _empty_table(section), list(dict.fromkeys(row.column for row in rows))
    table.add_column("", min_width=29, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", width=10)
    table.add_column("", style="dim")
    for what in dict.fromkeys(row.what for row in rows):
        found = {row.column: row for row in rows if row.what == what}
        numbers = [_number(median(found[name].samples), found[name].unit) if name in found else "" for name in columns]
        table.add_row(what, *numbers, next(iter(found.values())).remark)
    return table


def _table(section: str, rows: Iterable[Measurement]) -> Table:
    table = _empty_table(section)
    table.add_column("", width=29)
    table.add_column("", width=5)
    for name, width in (("n", 4), ("min", 7), ("median", 7), ("p99", 7), ("max", 7)):
        table.add_column(name, justify="right", width=width)
    table.add_column("", style="dim")
    for row in rows:
        table.add_row(row.what, row.unit, str(len(row.samples)), *_statistics(row), row.remark)
    return table


def _statistics(row: Measurement) -> tuple[str, str, str, str]:
    middle = _number(median(row.samples), row.unit)
    if len(row.samples) == 1:
        return "", middle, "", ""
    p99 = "" if row.p99 is None else _number(row.p99, row.unit)
    return _number(min(row.samples), row.unit), middle, p99, _number(max(row.samples), row.unit)


def _number(value: float, unit: str) -> str:
    """Format a measured value with three digits, because of the noise, and a count as an integer."""
    if unit not in {"s", "ms", "MB", "kB", "x", "%"}:
        return f"{value:,.0f}"
    return f"{value:,.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
