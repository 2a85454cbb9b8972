"""Bodies read by the fast library are those that the standard library reads, with the same values and types."""

import json

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from spotisync.spotify.http import read_json

INT64 = st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | INT64
    | st.floats()
    | st.text(st.characters()),  # lone surrogates, NaN and infinities too
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


def reply(content: bytes, charset: str | None = None) -> requests.Response:
    response = requests.Response()
    response._content, response.encoding = content, charset
    return response


@given(JSON, st.booleans())
def test_reads_what_the_standard_library_reads(value: object, ascii_: bool) -> None:
    written = json.dumps(value, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    try:
        expected = json.dumps(reply(written).json())
    except ValueError:
        expected = "null"
    assert json.dumps(read_json(reply(written))) == expected


@given(st.binary(max_size=20) | st.text('[]{}",:0123456789.eE+-\\udantrfls ', max_size=12).map(str.encode))
def test_never_raises(content: bytes) -> None:
    read_json(reply(content))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_reads_other_encodings(encoding: str) -> None:
    assert read_json(reply('{"name": "Sigur Rós"}'.encode(encoding))) == {"name": "Sigur Rós"}


def test_reads_a_declared_encoding() -> None:
    assert read_json(reply('{"name": "Sigur Rós"}'.encode("latin-1"), "latin-1")) == {"name": "Sigur Rós"}


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"items": [', b'{"a": 1} x', b"[" * 100_000])
def test_another_body_is_none(content: bytes) -> None:
    assert read_json(reply(content)) is None


def test_the_last_of_repeated_keys_counts() -> None:
    assert read_json(reply(b'{"a": 1, "a": 2}')) == {"a": 2}


def test_an_integer_beyond_64_bits_stays_a_number() -> None:
    assert read_json(reply(b"18446744073709551616")) == 2**64
