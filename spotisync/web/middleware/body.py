"""The body of a request: of limited size, and read within a deadline before the request takes a turn."""

import asyncio
from typing import Final

from fastapi import HTTPException
from starlette.types import Message, Receive

MAX_BODY_BYTES: Final = 1_000_000
BODY_SECONDS: Final = 10.0
TOO_LARGE: Final = "The request is too large. The limit is 1 MB."
TOO_SLOW: Final = "The body of the request did not arrive within {seconds:g} s. Send the request again."
_CLOSE: Final = {"Connection": "close"}  # because the rest of the body may still arrive


async def read_body(receive: Receive) -> Receive | None:
    """Return a `receive` that yields the whole body at once, or None if the client has disconnected.

    Raises `HTTPException` if the body is too large or too slow.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _join(receive)
    except TimeoutError:
        raise HTTPException(408, TOO_SLOW.format(seconds=BODY_SECONDS), _CLOSE) from None
    if body is None:
        return None
    read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return read.pop() if read else await receive()

    return receive_again


async def _join(receive: Receive) -> bytes | None:
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, TOO_LARGE, _CLOSE)
        if not message.get("more_body"):
            return bytes(body)
    return None
