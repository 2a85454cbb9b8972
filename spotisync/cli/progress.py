"""Draw runs: sentences and four bars, once or live; on a pipe, a line per change."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from spotisync.cli import formatting
from spotisync.cli.formatting import Document
from spotisync.cli.polling import Observation
from spotisync.status.messages import STATUS_LABELS, get_expected

LINE_INTERVAL: Final = 2.0
MAX_WIDTH: Final = 100
# In a terminal narrower than this, only numbers are shown, no bars.
MIN_WIDTH_FOR_BARS: Final = 52
# In one narrower than this, a waiting phase is shown without its time, which the sentence above contains.
MIN_WIDTH_FOR_TIMES: Final = 46
STYLES: Final = {"success": "green", "failed": "red", "cancelled": "red", "rate_limited": "yellow", "pending": "dim"}


def render_run(document: Document, *below: str) -> RenderableType:
    """Render a headline, a sentence on the state, the bars, and lines below them."""
    lines = [*map(Text, formatting.format_footnotes(document)), *map(Text.from_markup, below)]
    parts: list[RenderableType] = [
        Text(formatting.format_headline(document), "bold"),
        _indent(Text(document["message"])),
    ]
    if document["phases"]:
        parts += [Text(), ProgressBars(document)]
    if lines:
        parts += [Text(), *map(_indent, lines)]
    return Constrain(Group(*parts), MAX_WIDTH)


def _indent(line: Text) -> RenderableType:
    # Not padded to the right edge: the echo of Ctrl-C would wrap there, and shift the display.
    return Padding(line, (0, 0, 0, 1), expand=False)


class ProgressBars:
    """One line per phase, as wide as the terminal at the time of drawing."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        has_bars = options.max_width >= MIN_WIDTH_FOR_BARS
        table = Table.grid(padding=(0, 1), expand=has_bars)
        for ratio in (0, 1, 0, 0) if has_bars else (0, 0, 0):
            table.add_column(ratio=ratio or None, no_wrap=True, overflow="ellipsis")
        table.columns[-2].justify = "right"
        # Keep the bars at a constant length while the texts change.
        table.columns[-1].min_width = 14 if has_bars else None
        table.columns[-2].min_width = 15 if has_bars else None
        for name, phase in self._document["phases"].items():
            style = STYLES.get(phase["status"], "")
            amount = Text(formatting.format_amount(self._document, name), style)
            state = Text(self._format_state(phase, options.max_width), style)
            table.add_row(Text(name, style), *([_bar(self._document, name)] if has_bars else []), amount, state)
        yield Padding(table, (0, 0, 0, 1), expand=has_bars)

    def _format_state(self, phase: Document, width: int) -> str:
        if width < MIN_WIDTH_FOR_TIMES:
            return STATUS_LABELS[phase["status"]]
        return formatting.format_state(self._document, phase)


def _bar(document: Document, name: str) -> ProgressBar:
    """The bar pulses while the total is unknown."""
    phase = document["phases"][name]
    percent = None if get_expected(document, name) is None else phase["percent_complete"]
    pulse = percent is None and phase["status"] == "in_progress"
    completed = 100 if phase["status"] == "success" else percent or 0
    return ProgressBar(total=None if pulse else 100, completed=completed, pulse=pulse)


def draw_run(
    runs: Iterable[Observation[Document]], console: Console, below: Callable[[], tuple[str, ...]] = tuple
) -> None:
    """Draw one run live until `runs` ends. `below` returns further lines, as rich markup."""
    draw_runs((Observation([each.value], each.outage) for each in runs), console, below=below)


def draw_runs(
    observations: Iterable[Observation[list[Document]]], console: Console, below: Callable[[], tuple[str, ...]] = tuple
) -> None:
    """Draw several runs live."""
    if not console.is_terminal or console.is_dumb_terminal:
        return _print_lines(observations, console)
    # Nothing changes between two observations, so no refresh thread is needed.
    with Live(console=console, auto_refresh=False) as live:
        for each in observations:
            runs = [render_run(run, *(() if formatting.is_finished(run) else below())) for run in each.value]
            live.update(Group(*separate_by_blank_lines(runs), *_render_outage(each)), refresh=True)
    return None


def separate_by_blank_lines(parts: list[RenderableType]) -> list[RenderableType]:
    return [part for each in parts for part in (Text(), each)][1:]


def _render_outage(observation: Observation[Any]) -> list[RenderableType]:
    if observation.outage is None:
        return []
    return [Text(), _indent(Text(formatting.format_outage(observation.outage), "yellow"))]


def _print_lines(observations: Iterable[Observation[list[Document]]], console: Console) -> None:
    """Print a line per change, at most one every `LINE_INTERVAL` seconds, but outages and results at once."""
    printed: object = None
    due = 0.0
    for each in observations:
        key = (each.outage is None, *map(formatting.get_change_key, each.value))
        is_urgent = each.outage is not None or all(map(formatting.is_finished, each.value))
        if key != printed and (is_urgent or time.monotonic() >= due):
            lines = map(formatting.format_line, each.value)
            text = "\n".join(lines) if each.outage is None else formatting.format_outage(each.outage)
            console.print(text, markup=False, soft_wrap=True)
            printed, due = key, time.monotonic() + LINE_INTERVAL


# ---- history --------------------------------------------------------------------------------------------------------

RIGHT_ALIGNED: Final = {"run", "took", "read", "added", "deferred", "calls"}
# Columns that are truncated to fit, with their minimum widths.
MIN_WIDTHS: Final = {"account": 8, "error": 16}
# Columns that are dropped, in this order, if truncating does not suffice.
DROP_ORDER: Final = ("added", "read", "type", "error", "deferred", "calls", "account", "took")


def runs_table(runs: list[Document], zone: str, width: int) -> Any:
    """One line per run, with as many columns as fit; `--json` has all of them."""
    cells = [_cells(run, zone) for run in runs]
    texts = {name: [each[name].plain for each in cells] for name in cells[0]}
    columns = {name: max(len(name), *map(len, column)) for name, column in texts.items() if any(column)}
    if len(set(texts["account"])) == 1:
        del columns["account"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, column_width in _fit_columns(columns, width).items():
        justify: Any = "right" if name in RIGHT_ALIGNED else "left"
        table.add_column(name, justify=justify, width=column_width, no_wrap=True, overflow="ellipsis")
    for each in cells:
        table.add_row(*(each[str(column.header)] for column in table.columns))
    return table


def _fit_columns(columns: dict[str, int], width: int) -> dict[str, int]:
    """Truncate and drop columns until the table fits; return the remaining columns with their widths."""
    for dropped in ("", *DROP_ORDER):
        columns = {name: size for name, size in columns.items() if name != dropped}
        excess = sum(columns.values()) + len(columns) - width
        for name, min_width in MIN_WIDTHS.items():
            if name in columns and excess > 0:
                cut = min(excess, max(0, columns[name] - min_width))
                columns, excess = {**columns, name: columns[name] - cut}, excess - cut
        if excess <= 0:
            break
    return columns


def _cells(run: Document, zone: str) -> dict[str, Text]:
    return {
        "run": Text(str(run["sync_id"])),
        "account": Text(run["account"]),
        "type": Text("incr" if run["sync_type"] == "incremental" else run["sync_type"]),
        "status": Text(STATUS_LABELS[run["status"]], STYLES.get(run["status"], "")),
        "started": Text(formatting.format_start(run, zone)),
        "took": Text(formatting.format_run_duration(run)),
        "read": Text(f"{run['items_processed']:,}"),
        "added": Text(f"{run['items_added']:,}"),
        "deferred": Text(f"{run['items_deferred']:,}" if run["items_deferred"] else ""),
        "calls": Text(f"{run['api_calls']:,}"),
        "error": Text(formatting.shorten_error(run)),
    }
