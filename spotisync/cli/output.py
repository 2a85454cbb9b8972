"""Where words and documents go."""

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

# rich would take 80 columns for a pipe and break lines there.
PIPE_WIDTH: Final = 120


@cache
def console(*, stderr: bool = False) -> "Console":
    """The one console of each stream: live bars and words share it, or they would draw over each other."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)


def print_text(words: str = "", *, stderr: bool = False, markup: bool = False) -> None:
    """One line or several. Only with `markup` are `[bold]` and the like understood: names may hold brackets."""
    to = console(stderr=stderr)
    to.print(words, markup=markup, soft_wrap=not to.is_terminal)


def program_name() -> str:
    """How this program was called, for commands that are shown to be typed: it need not be on the PATH."""
    here = Path(sys.argv[0])
    if here.name == "__main__.py":
        return "python -m spotisync"
    return here.name if shutil.which(here.name) else os.path.relpath(here)


def print_json(value: Any) -> None:
    """The one JSON document of a `--json` command."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))  # noqa: T201


class ConsoleHandler(logging.Handler):
    """Log lines as plain words on a console, above whatever is drawn there."""

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
    """For every command: what is worth a warning goes to stderr."""
    logging.basicConfig(
        level=logging.WARNING, handlers=[ConsoleHandler(console(stderr=True), logging.WARNING)], force=True
    )


def show_stack_events() -> None:
    """For `demo` and `up`: also what starts, ends and is started again."""
    logging.basicConfig(level=logging.WARNING, handlers=[ConsoleHandler(console(), logging.INFO)], force=True)
    logging.getLogger("spotisync.stack").setLevel(logging.INFO)
