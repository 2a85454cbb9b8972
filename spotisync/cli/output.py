"""Output on stdout and stderr: text, JSON, log messages, progress bars."""

import json
import logging
import os
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

# rich assumes 80 columns on a pipe, and wraps lines there.
PIPE_WIDTH: Final = 120


@cache
def console(*, stderr: bool = False) -> "Console":
    """The console of a stream. Live bars and text must share one, or they overwrite each other."""
    from rich.console import Console

    screen = Console(stderr=stderr, highlight=False)
    return screen if screen.is_terminal else Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)


def print_text(text: str = "", *, stderr: bool = False, markup: bool = False) -> None:
    """Print lines. `markup` enables tags such as `[bold]`; it is off by default because names can contain brackets."""
    screen = console(stderr=stderr)
    screen.print(text, markup=markup, soft_wrap=not screen.is_terminal)


def program_name() -> str:
    """The command that starts this program, for examples to copy: it may not be on the PATH."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m spotisync"
    return program.name if shutil.which(program.name) else os.path.relpath(program)


def print_json(value: Any) -> None:
    """Print the JSON document of a `--json` command."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))  # noqa: T201


def progress_on_stderr(*, shown: bool) -> "Progress":
    """Progress bars that count rows; drawn only on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(stderr=True)
    return Progress(*columns, console=screen, transient=True, disable=not (shown and screen.is_terminal))


class ConsoleHandler(logging.Handler):
    """Print log messages on a console, above its live display."""

    def __init__(self, console: "Console", level: int) -> None:
        super().__init__(level)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(
            record.getMessage(),
            markup=False,
            soft_wrap=True,
            style="yellow" if record.levelno > logging.INFO else "dim",
        )


def show_warnings() -> None:
    """Print warnings and errors on stderr. The default of every command."""
    logging.basicConfig(
        level=logging.WARNING, handlers=[ConsoleHandler(console(stderr=True), logging.WARNING)], force=True
    )


def show_stack_events() -> None:
    """Print starts, stops and restarts of processes on stdout. For `demo` and `up`."""
    logging.basicConfig(level=logging.WARNING, handlers=[ConsoleHandler(console(), logging.INFO)], force=True)
    logging.getLogger("spotisync.stack").setLevel(logging.INFO)
