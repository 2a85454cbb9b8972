"""A run in words and as four bars: drawn once, or live; on a pipe, a line whenever there is news."""

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

LINE_EVERY_SECONDS: Final = 2.0
WIDEST: Final = 100
# Of a terminal: below it there is no room for bars, only for numbers.
NARROW: Final = 52
# ... and below this one not even for the time that a phase waits for, which the headline has.
NARROWEST: Final = 46
STYLES: Final = {"success": "green", "failed": "red", "cancelled": "red", "rate_limited": "yellow", "pending": "dim"}


def render_run(document: Document, *below: str) -> RenderableType:
    """Whose run, the sentence that explains its state, its bars, and what else is to be said below."""
    said = [*map(Text, formatting.footnotes(document)), *map(Text.from_markup, below)]
    parts: list[RenderableType] = [Text(formatting.headline(document), "bold"), _indented(Text(document["message"]))]
    if document["phases"]:
        parts += [Text(), ProgressBars(document)]
    if said:
        parts += [Text(), *map(_indented, said)]
    return Constrain(Group(*parts), WIDEST)


def _indented(line: Text) -> RenderableType:
    # Not filled up to the edge: there a terminal's echo of Ctrl-C would begin a new line, and shift the picture.
    return Padding(line, (0, 0, 0, 1), expand=False)


class ProgressBars:
    """A line a phase: as wide as the terminal is when it is drawn."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = options.max_width >= NARROW
        table = Table.grid(padding=(0, 1), expand=drawn)
        for ratio in (0, 1, 0, 0) if drawn else (0, 0, 0):
            table.add_column(ratio=ratio or None, no_wrap=True, overflow="ellipsis")
        table.columns[-2].justify = "right"
        # So that bars do not grow and shrink with the words beside them.
        table.columns[-1].min_width = 14 if drawn else None
        table.columns[-2].min_width = 15 if drawn else None
        for name, phase in self._document["phases"].items():
            style = STYLES.get(phase["status"], "")
            texts = [
                Text(each, style)
                for each in (name, formatting.format_amount(phase), self._state(phase, options.max_width))
            ]
            table.add_row(texts[0], *([_bar(phase)] if drawn else []), *texts[1:])
        yield Padding(table, (0, 0, 0, 1), expand=drawn)

    def _state(self, phase: Document, width: int) -> str:
        return (
            formatting.format_state(self._document, phase) if width >= NARROWEST else formatting.STATES[phase["status"]]
        )


def _bar(phase: Document) -> ProgressBar:
    """It moves to and fro while the total is unknown."""
    unknown = phase["percent_complete"] is None
    pulse = unknown and phase["status"] == "in_progress"
    return ProgressBar(total=None if pulse else 100, completed=phase["percent_complete"] or 0, pulse=pulse)


def draw_run(
    runs: Iterable[Observation[Document]], console: Console, below: Callable[[], tuple[str, ...]] = tuple
) -> None:
    """Draw each as it comes; the last picture stays."""
    draw_runs((Observation([each.seen], each.away) for each in runs), console, below=below)


def draw_runs(
    looks: Iterable[Observation[list[Document]]], console: Console, below: Callable[[], tuple[str, ...]] = tuple
) -> None:
    """The same for several runs at once."""
    if not console.is_terminal or console.is_dumb_terminal:
        return _print_lines(looks, console)
    # Each look redraws it, and between two there is nothing new: no thread is needed.
    with Live(console=console, auto_refresh=False) as live:
        for look in looks:
            pictures = [render_run(each, *(() if formatting.is_finished(each) else below())) for each in look.seen]
            live.update(Group(*separate(pictures), *_away(look)), refresh=True)
    return None


def separate(pictures: list[RenderableType]) -> list[RenderableType]:
    """An empty line between two of them."""
    return [part for each in pictures for part in (Text(), each)][1:]


def _away(look: Observation[Any]) -> list[RenderableType]:
    return [] if look.away is None else [Text(), _indented(Text(formatting.format_outage(look.away), "yellow"))]


def _print_lines(looks: Iterable[Observation[list[Document]]], console: Console) -> None:
    """A line whenever something has changed, but not more often than every other second."""
    printed: object = None
    due = 0.0
    for look in looks:
        news = (look.away is None, *map(formatting.change_key, look.seen))
        over = all(map(formatting.is_finished, look.seen))
        if news != printed and (time.monotonic() >= due or over or look.away is not None):
            lines = (
                map(formatting.format_line, look.seen) if look.away is None else [formatting.format_outage(look.away)]
            )
            console.print("\n".join(lines), markup=False, soft_wrap=True)
            printed, due = news, time.monotonic() + LINE_EVERY_SECONDS


# ---- history --------------------------------------------------------------------------------------------------------

RIGHT: Final = {"run", "took", "read", "added", "later", "calls"}
# Names and errors are cut to what is left ...
SHORTEST: Final = {"account": 8, "error": 16}
# ... and these go, in this order, where there is no room for them.
DROPPED: Final = ("added", "read", "type", "error", "later", "calls", "account", "took")


def runs_table(runs: list[Document], zone: str, width: int) -> Any:
    """A line a run, of what there is room for: `--json` has the rest."""
    cells = [_cells(run, zone) for run in runs]
    said = {name: [name, *(each[name].plain for each in cells)] for name in cells[0]}
    columns = {name: max(map(len, texts)) for name, texts in said.items() if any(texts[1:])}
    if len(set(said["account"][1:])) == 1:
        del columns["account"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, wide in _fitting(columns, width).items():
        justify: Any = "right" if name in RIGHT else "left"
        table.add_column(name, justify=justify, width=wide, no_wrap=True, overflow="ellipsis")
    for each in cells:
        table.add_row(*(each[str(column.header)] for column in table.columns))
    return table


def _fitting(columns: dict[str, int], width: int) -> dict[str, int]:
    """What fits of these columns, and how wide each is then."""
    for name in ("", *DROPPED):
        columns = {each: wide for each, wide in columns.items() if each != name}
        over = sum(columns.values()) + len(columns) - width
        for each, least in SHORTEST.items():
            if each in columns and over > 0:
                cut = min(over, max(0, columns[each] - least))
                columns, over = {**columns, each: columns[each] - cut}, over - cut
        if over <= 0:
            break
    return columns


def _cells(run: Document, zone: str) -> dict[str, Text]:
    return {
        "run": Text(str(run["sync_id"])),
        "account": Text(run["account"]),
        "type": Text("incr" if run["sync_type"] == "incremental" else run["sync_type"]),
        "status": Text(formatting.STATES[run["status"]], STYLES.get(run["status"], "")),
        "started": Text(formatting.format_start(run, zone)),
        "took": Text(formatting.format_duration(run)),
        "read": Text(f"{run['items_processed']:,}"),
        "added": Text(f"{run['items_added']:,}"),
        "later": Text(f"{run['items_deferred']:,}" if run["items_deferred"] else ""),
        "calls": Text(f"{run['api_calls']:,}"),
        "error": Text(formatting.short_error(run)),
    }
