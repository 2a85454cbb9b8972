"""Members of JSON arrays, read one by one from a file of any size and any encoding of Unicode."""

import codecs
import json
from collections.abc import Iterator
from typing import IO, Any, Final

import ijson

CHUNK: Final = 1 << 16
MAX_ROW_BYTES: Final = 1 << 20  # a real row has less than 1 kB
MAX_OPEN: Final = 200  # brackets that one chunk opens and does not close; a deeply nested file crashes the parser


def iter_rows(file: IO[bytes]) -> Iterator[Any]:
    """Yield the members of the arrays in a file, keeping little more than one in memory. Raises `ValueError`.

    A file can have several arrays, one after the other: people concatenate the files of their history.
    """
    text = _Utf8(file)
    try:
        events = ijson.parse(text, multiple_values=True, use_float=True, buf_size=CHUNK)
        for row in ijson.items(_reject_others(events), "item"):
            text.unread = 0
            yield row
    except ijson.JSONError as error:
        raise ValueError(str(error).partition("\n")[0].strip()) from None
    if text.last != "]":
        raise ValueError("something follows the array")


def _reject_others(events: Iterator[tuple[str, str, Any]]) -> Iterator[tuple[str, str, Any]]:
    """Pass events on. Raises `ValueError` at anything beside the arrays, which `items` would skip silently."""
    for prefix, event, value in events:
        if not prefix and event not in {"start_array", "end_array"}:
            raise ValueError("something follows the array")
        yield prefix, event, value


class _Utf8:
    """Recodes a JSON file as UTF-8 without byte order marks, which are also between concatenated files.

    `last`: the last character that is no white space. `unread`: the number of bytes read since the last row.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._chunk = file.read(CHUNK)
        self._decoder = codecs.getincrementaldecoder(json.detect_encoding(self._chunk))()
        self._finished = False
        self.unread = 0
        self.last = ""

    def read(self, size: int) -> bytes:
        """Return up to about `size` bytes. ijson also calls this with 0, to see whether it gets bytes."""
        while size and not self._finished:
            text = self._decode_next(size)
            if stripped := text.strip():
                if not self.last and not stripped.startswith("["):
                    raise ValueError("it is no JSON array")
                self.last = stripped[-1]
            if text:
                return self._count(text.encode())
        return b""

    def _decode_next(self, size: int) -> str:
        chunk, self._chunk = self._chunk, self._file.read(size)
        self._finished = not chunk
        return self._decoder.decode(chunk, final=self._finished).replace("\ufeff", "")

    def _count(self, chunk: bytes) -> bytes:
        self.unread += len(chunk)
        if self.unread > MAX_ROW_BYTES:
            raise ValueError(f"a row is longer than {MAX_ROW_BYTES:,} bytes")
        if sum(map(chunk.count, (b"[", b"{"))) - sum(map(chunk.count, (b"]", b"}"))) > MAX_OPEN:
            raise ValueError("it is nested too deeply")
        return chunk
