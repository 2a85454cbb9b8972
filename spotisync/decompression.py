"""Decompression of messages, of limited size: a caller may compress its own, by Celery's `task_compression`.

Kombu's has no limit. A megabyte can hold a gigabyte, which would end the worker; the broker would deliver it again.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from kombu import compression

MAX_BYTES: Final = 16 * 2**20
"""Of a decompressed body. Trigger messages have a few kilobytes."""
MAX_DICTIONARY_BYTES: Final = 128 * 2**20
"""Memory of LZMA; its highest preset needs 65 MB."""
METHODS: Final[Mapping[str, Callable[[], Any]]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": partial(lzma.LZMADecompressor, memlimit=MAX_DICTIONARY_BYTES),
}


def limit_size() -> None:
    """Replace kombu's decompression in this process."""
    for name, method in METHODS.items():
        get_encoder: Any = compression.get_encoder  # whose type lacks the name that it also returns
        compression.register(get_encoder(name)[0], partial(_decompress, method), name)


def _decompress(method: Callable[[], Any], body: bytes) -> bytes:
    decompressor = method()
    found: bytes = decompressor.decompress(body, MAX_BYTES)
    if not decompressor.eof:
        raise ValueError(f"truncated, or of more than {MAX_BYTES} bytes")
    return found
