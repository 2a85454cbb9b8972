"""A run as four bars: drawn once, or live; on a pipe, a line every other second."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from spotisync.cli import words
from spotisync.cli.words import Document

LINE_EVERY_SECONDS: Final = 2.0
WIDEST: Final = 100
STYLES: Final = {"success": "green", "failed": "red", "cancelled": "red", "rate_limited": "yellow", "pending": "dim"}


def picture(run: Document, *below: str) -> RenderableType:
    """The run's name, its bars, the sentence that explains its state, and what else is to be said below."""
    lines = [Text(words.sentence(run)), *(Text.from_markup(each) for each in below)]
    return Group(Text(words.headline(run), "bold"), Text(), _bars(run), Text(), *map(_indented, lines))


def _indented(line: Text) -> RenderableType:
    # Not filled up to the edge: there a terminal's echo of Ctrl-C would begin a new line, and shift the picture.
    return Padding(line, (0, 0, 0, 1), expand=False)


def _bars(run: Document) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    for ratio in (0, 1, 0, 0):
        table.add_column(ratio=ratio or None, no_wrap=True)
    table.columns[2].justify = "right"
    table.columns[2].min_width = 15
    table.columns[3].min_width = 12
    for name, phase in run["phases"].items():
        style = STYLES.get(phase["status"], "")
        table.add_row(Text(name, style), _bar(phase), Text(words.amount(phase), style), Text(words.state(phase), style))
    return Constrain(Padding(table, (0, 0, 0, 1)), WIDEST)


def _bar(phase: Document) -> ProgressBar:
    """It moves to and fro while the total is unknown."""
    unknown = phase["percent_complete"] is None
    pulse = unknown and phase["status"] == "in_progress"
    return ProgressBar(total=None if pulse else 100, completed=phase["percent_complete"] or 0, pulse=pulse)


def draw(runs: Iterable[Document], console: Console, below: Callable[[], tuple[str, ...]] = tuple) -> None:
    """Draw each as it comes; the last picture stays."""
    draw_all(([run] for run in runs), console, below=below)


def draw_all(
    looks: Iterable[list[Document]],
    console: Console,
    nothing: str = "",
    below: Callable[[], tuple[str, ...]] = tuple,
) -> None:
    """The same for several runs at once; `nothing` stands there while there is none."""
    if not console.is_terminal:
        return _print_lines(looks, console)
    # Each look redraws it, and between two there is nothing new: no thread is needed.
    with Live(console=console, auto_refresh=False) as live:
        for runs in looks:
            pictures = [picture(run, *(() if words.is_over(run) else below())) for run in runs]
            live.update(Group(*pictures or [Text(nothing)]), refresh=True)
    return None


def _print_lines(looks: Iterable[list[Document]], console: Console) -> None:
    """A line whenever something has changed, but not more often than every other second."""
    printed, due = "", 0.0
    for runs in looks:
        line = "\n".join(words.line(run) for run in runs)
        if line != printed and (time.monotonic() >= due or all(words.is_over(run) for run in runs)):
            console.print(line, markup=False, soft_wrap=True)
            printed, due = line, time.monotonic() + LINE_EVERY_SECONDS


def runs_table(runs: list[Document]) -> Any:
    """Narrow enough for 80 columns; `--json` has the rest."""
    table = Table(
        "run", "account", "type", "status", "started", "took", box=None, pad_edge=False, collapse_padding=True
    )
    for name in ("read", "added", "calls"):
        table.add_column(name, justify="right")
    for run in runs:
        numbers = (run[name] for name in ("items_processed", "items_added", "api_calls"))
        table.add_row(
            str(run["sync_id"]),
            Text(run["account"]),
            run["sync_type"],
            Text(run["status"], STYLES.get(run["status"], "")),
            words.moment(run["started_at"])[:16],
            words.duration(run),
            *(f"{number:,}" for number in numbers),
        )
    return table
