"""What is taken from the output of pg_restore: rows and the values of sequences, and no statement."""

import pytest

from spotisync.core.dump_script import SequenceValue, TableRows, parse_script
from spotisync.errors import Fatal

SCRIPT = rb"""
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

-- Data for Name: accounts; Type: TABLE DATA
COPY public.accounts (id, "position") FROM stdin;
1	COPY public.tracks (id) FROM stdin;
2	\\.
\.


COPY public.tracks (id) FROM PROGRAM 'touch /tmp/x';
SELECT pg_catalog.setval('public.accounts_id_seq', 7, true);
SELECT pg_catalog.setval('public.accounts_id_seq', (SELECT 1), true);
DROP TABLE accounts;
"""


def read(script: bytes, size: int = 1 << 16) -> list[object]:
    lines = script.splitlines(keepends=True)
    pieces = [line[start : start + size] for line in lines for start in range(0, len(line), size)]
    return [
        (item.table, item.columns, b"".join(item.data)) if isinstance(item, TableRows) else item
        for item in parse_script(pieces)
    ]


@pytest.mark.parametrize("size", [1 << 16, 80])
def test_takes_rows_and_values_and_skips_every_other_statement(size: int) -> None:
    assert read(SCRIPT, size) == [
        ("accounts", ("id", "position"), b"1\tCOPY public.tracks (id) FROM stdin;\n2\t\\\\.\n"),
        SequenceValue("accounts_id_seq", 7, is_called=True),
    ]


def test_only_whole_lines_are_the_start_or_the_end_of_rows() -> None:
    long = b"x" * 80 + b"\\.\n" + b"y" * 80 + b"COPY public.a (id) FROM stdin;\n"
    assert read(b"COPY public.t (id) FROM stdin;\n" + long + b"\\.\n", 80) == [("t", ("id",), long)]
    assert read(b"-- " + b"x" * 77 + b"COPY public.a (id) FROM stdin;\n", 80) == []


def test_rows_without_an_end_are_an_error() -> None:
    with pytest.raises(Fatal, match="ends within the rows"):
        read(b"COPY public.t (id) FROM stdin;\n1\n")
