"""Rows of JSON arrays: any encoding, chunk boundaries and concatenation, little memory."""

import codecs
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.sync.json_rows import iter_rows

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc é", max_size=5), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text("abc é", max_size=5), VALUES, max_size=4), max_size=4)
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
}


class Dribble(io.BytesIO):
    """Returns so few bytes at a time that every row and many characters are cut somewhere."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(7 if size and size > 0 else -1)


@given(st.lists(ROWS, min_size=1, max_size=3), st.sampled_from(list(MARKS)), st.booleans(), st.sampled_from([None, 2]))
@settings(max_examples=60)
def test_reads_arrays_of_any_encoding_at_any_boundaries(
    arrays: list[list[Any]], encoding: str, marked: bool, indent: int | None
) -> None:
    mark = MARKS[encoding] if marked else b""
    space = "\r\n\t ".encode(encoding)
    file = space.join(mark + json.dumps(rows, indent=indent, ensure_ascii=False).encode(encoding) for rows in arrays)
    expected = [row for rows in arrays for row in rows]
    assert json.dumps(list(iter_rows(Dribble(file)))) == json.dumps(expected).replace("\\ufeff", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "premature EOF"),
        ("  \n", "premature EOF"),
        ("{}", "no JSON array"),
        ("null", "no JSON array"),
        ('{"a": 1}\n{"a": 2}', "no JSON array"),
        ("[", "premature EOF"),
        ('[{"a": 1}', "premature EOF"),
        ('[{"a": 1}, {"a"', "premature EOF"),
        ("[}", "unallowed token"),
        ("[nope]", "invalid"),
        ('[{"a": 1}] and more', "invalid"),
        ('[{"a": 1}]\x00\x00', "invalid"),
        ('[{"a": 1}]]', "unallowed token|trailing garbage"),
        ('[{"a": 1}]{"a": 2}', "something follows the array"),
        ('[{"a": 1}] 5', "something follows the array"),
        ('[{"a": 1}],[{"a": 2}]', "unallowed token|trailing garbage"),
        ('[{"a": "' + "x" * 3_000_000 + '"}]', "a row is longer than"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=range(18),
)
def test_anything_but_arrays_is_an_error_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(iter_rows(io.BytesIO(text.encode())))


@pytest.mark.parametrize("damaged", [b"[\xff\xfe]", '["é"]'.encode("latin-1"), '["x"]'.encode("utf-16")[:-1]])
def test_bytes_of_no_known_encoding_are_an_error(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(iter_rows(io.BytesIO(damaged)))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file() -> None:
    import tracemalloc

    file = io.BytesIO(json.dumps([{"ts": "2024-01-01T00:00:00Z", "platform": "x" * 300}] * 100_000).encode())
    tracemalloc.start()
    try:
        assert sum(1 for _ in iter_rows(file)) == 100_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_rejects_an_object_between_two_arrays() -> None:
    with pytest.raises(ValueError, match="something follows the array"):
        list(iter_rows(io.BytesIO(b'[{"a": 1}] {"b": [2]} [{"c": 3}]')))
