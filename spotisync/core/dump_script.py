"""The rows of tables in the output of `pg_restore --data-only`. Nothing of that output is ever executed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from spotisync.errors import Fatal

_COPY: Final = re.compile(rb'COPY public\."?(\w+)"? \(([\w", ]+)\) FROM stdin;\n')
_SETVAL: Final = re.compile(rb"SELECT pg_catalog\.setval\('public\.\"?(\w+)\"?', (-?\d{1,19}), (true|false)\);\n")
_END: Final = b"\\.\n"


@dataclass(frozen=True)
class TableRows:
    """`data`: pieces of the table's rows, in the text format of `COPY`. Read them before the next item."""

    table: str
    columns: tuple[str, ...]
    data: Iterator[bytes]


@dataclass(frozen=True)
class SequenceValue:
    sequence: str
    value: int
    is_called: bool


def parse_script(pieces: Iterable[bytes]) -> Iterator[TableRows | SequenceValue]:
    """`pieces`: lines; a long one may come in several pieces. Statements other than `COPY` and `setval` are skipped."""
    remaining = _with_starts(pieces)
    for piece, is_start in remaining:
        if not is_start:
            continue
        if found := _COPY.fullmatch(piece):
            columns = tuple(name.strip('"') for name in found[2].decode().split(", "))
            yield TableRows(found[1].decode(), columns, _read_data(remaining))
        elif found := _SETVAL.fullmatch(piece):
            yield SequenceValue(found[1].decode(), int(found[2]), found[3] == b"true")


def _with_starts(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each piece, and whether it is the start of a line."""
    is_start = True
    for piece in pieces:
        yield piece, is_start
        is_start = piece.endswith(b"\n")


def _read_data(pieces: Iterator[tuple[bytes, bool]]) -> Iterator[bytes]:
    for piece, is_start in pieces:
        if is_start and piece == _END:
            return
        yield piece
    raise Fatal("the backup ends within the rows of a table")
