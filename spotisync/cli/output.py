"""Output on stdout and stderr: text, JSON, log messages, progress bars."""

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from spotisync.errors import Fatal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

# rich assumes 80 columns on a pipe, and wraps lines there. COLUMNS changes it.
PIPE_WIDTH: Final = 120
# Control characters that JSON allows in a text.
UNESCAPED: Final = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@cache
def _screen_class() -> "type[Console]":
    from rich.console import Console
    from rich.segment import Segment

    from spotisync.logs import remove_controls

    class SafeConsole(Console):
        """Names are Spotify's: their control characters do not reach the terminal, only those of rich itself."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else remove_controls(text), style, control)

    return SafeConsole


@cache
def console(*, stderr: bool = False) -> "Console":
    """The console of a stream. Live bars and text must share one, or they overwrite each other."""
    make = _screen_class()
    screen = make(stderr=stderr, highlight=False)
    if screen.is_terminal:
        return screen
    return make(stderr=stderr, highlight=False, width=shutil.get_terminal_size((PIPE_WIDTH, 0)).columns)


def print_text(text: str = "", *, stderr: bool = False, markup: bool = False) -> None:
    """Print lines. `markup` enables tags such as `[bold]`; it is off by default because names can contain brackets."""
    screen = console(stderr=stderr)
    screen.print(text, markup=markup, soft_wrap=not screen.is_terminal)


def flush_output() -> None:
    """Write what is buffered. At its end Python would report an error in its own words, with exit code 120."""
    if sys.stdout is not None:  # closed by the caller
        sys.stdout.flush()


def discard_output() -> None:
    """Give up what is buffered if it can't be written, so that Python does not try again."""
    try:
        flush_output()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def program_name() -> str:
    """The command that starts this program, for examples to copy: it may not be on the PATH."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m spotisync"
    return program.name if shutil.which(program.name) else os.path.relpath(program)


def print_json(value: Any) -> None:
    """Print the JSON document of a `--json` command."""
    document = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    print(UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", document))  # noqa: T201


class _SafeOutput:
    """Writes rows to a terminal, without control characters in them."""

    def write(self, data: bytes) -> None:
        from spotisync.logs import remove_controls

        sys.stdout.write(remove_controls(data.decode(errors="replace")))


def open_stdout() -> "BinaryIO | _SafeOutput":
    """Stdout for rows: as they are in a file or a pipe, safe on a terminal. Raises `Fatal` if it is closed."""
    if sys.stdout is None:
        raise Fatal("stdout is closed, so nothing was written: redirect it to a file, or name a file instead of -")
    return _SafeOutput() if sys.stdout.isatty() else sys.stdout.buffer


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
