"""Compressed messages are read up to a size."""

from typing import Any

import pytest
from kombu import compression
from kombu.message import Message

from spotisync import decompression

decompression.limit_size()
NAMES = sorted(decompression.METHODS)


def receive(name: str, body: Any) -> Any:
    return Message(body, content_type="application/json", content_encoding="utf-8", headers={"compression": name})


@pytest.mark.parametrize("name", NAMES)
def test_a_compressed_message_is_read(name: str) -> None:
    body, _ = compression.compress(b'["x"]', name)
    assert receive(name, body).payload == ["x"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [0, 5], ids=["too_large", "truncated"])
def test_a_large_or_truncated_body_is_an_error(name: str, cut: int) -> None:
    body, _ = compression.compress(b" " * (100 if cut else decompression.MAX_BYTES + 1), name)
    ((kind, error, _),) = receive(name, body[: len(body) - cut]).errors  # kombu gives it to `on_decode_error`
    assert (kind, "truncated, or" in str(error)) == (ValueError, True)


def test_a_body_of_the_largest_size_is_read() -> None:
    body, name = compression.compress(b" " * (decompression.MAX_BYTES - 1) + b"5", "gzip")
    assert receive(name, body).payload == 5
