"""Control characters in names never reach a terminal."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import pytest
from rich.table import Table

from spotisync.cli import output
from spotisync.cli.exit_codes import report_error
from spotisync.errors import Fatal
from spotisync.logs import TextFormatter

EVIL = "a\x1b]0;title\x07\x1b[2J\x9b31m\x08\x7f\u202eb"
HARMLESS = "a]0;title[2J31mb"


class Terminal(io.TextIOWrapper):
    """Stdout and stderr of a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        buffer: Any = self.buffer
        return str(buffer.getvalue().decode())


@contextmanager
def terminal() -> Iterator[Terminal]:
    output.console.cache_clear()
    screen = Terminal()
    with redirect_stdout(screen), redirect_stderr(screen):
        yield screen
    output.console.cache_clear()


def test_rows_for_a_closed_stdout_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(Fatal, match="stdout is closed"):
        output.open_stdout()


def test_text_tables_and_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    table = Table(EVIL)
    table.add_row(EVIL)
    with terminal() as screen:
        output.print_text(EVIL)
        output.console().print(table)
        output.console(stderr=True).print(EVIL, markup=False)
        with output.progress_on_stderr(shown=True) as progress:
            progress.add_task(EVIL)
            progress.refresh()
    text = screen.text
    assert text.count(HARMLESS) >= 5
    assert "\x1b]0" not in text
    assert not set(text) & set("\x07\x9b\x08\x7f\u202e")


def test_errors_log_lines_and_rows() -> None:
    record = logging.LogRecord("name", logging.INFO, "", 0, "%s", (EVIL,), None)
    with terminal() as screen:
        assert report_error(Fatal(EVIL)) == 1
        output.open_stdout().write(f"{EVIL}\n".encode())
        print(TextFormatter("%(message)s").format(record))
    assert screen.text == f"spotisync: {HARMLESS}\n{HARMLESS}\n{HARMLESS}\n"


def test_json_keeps_the_characters_as_escapes() -> None:
    with terminal() as screen:
        output.print_json([EVIL])
    assert screen.text.isascii()
    assert json.loads(screen.text) == [EVIL]
    assert not set(screen.text) & {chr(code) for code in (*range(10), *range(11, 32), 127)}


def test_a_pipe_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, width in (("61", 61), ("", output.PIPE_WIDTH)):
        monkeypatch.setenv("COLUMNS", columns)
        output.console.cache_clear()
        with redirect_stdout(io.StringIO()):
            assert output.console().width == width
    output.console.cache_clear()
