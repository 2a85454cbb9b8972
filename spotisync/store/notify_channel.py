"""Notifications from Postgres that a status changed; migration 0003 defines the triggers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from spotisync.errors import Unavailable
from spotisync.store.database import NEVER_IDLE_OUT, split_password
from spotisync.store.engine import CONNECT, split_pooler

LISTEN: Final = "LISTEN spotisync_status"


POLL_SECONDS: Final = 2.0
"""Interval behind a pooler, where a session that listens does not stay with the client."""


async def listen(url: str) -> AsyncGenerator[None]:
    """Yield once when listening, and then after each change. Raises `Unavailable` when the connection is lost.

    Behind a pooler, yield every `POLL_SECONDS` instead.
    """
    _, pooled = split_pooler(url)
    if not pooled:
        async with aclosing(_listen(url, is_sure=pooled is False)) as changes:
            async for _ in changes:
                yield
    while True:
        yield
        await asyncio.sleep(POLL_SECONDS)


async def _listen(url: str, *, is_sure: bool) -> AsyncGenerator[None]:
    """End at once if there turns out to be a pooler."""
    address, password = split_password(url)
    try:
        where = make_conninfo(address, password=password, **CONNECT)
        async with await AsyncConnection.connect(where, autocommit=True) as connection:
            if not is_sure and not await _has_own_session(connection):
                return
            await connection.execute(NEVER_IDLE_OUT)
            await connection.execute(LISTEN)
            yield
            async for _ in connection.notifies():
                yield
    except psycopg.Error as error:  # also raised by a standby, which refuses LISTEN
        raise Unavailable(f"can't listen to the database: {str(error).strip().splitlines()[0]}") from error


async def _has_own_session(connection: AsyncConnection) -> bool:
    found = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    return found is not None and found[0] == connection.info.backend_pid
