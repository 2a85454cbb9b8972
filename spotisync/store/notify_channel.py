"""Notifications from Postgres that a status changed; migration 0003 defines the triggers."""

from collections.abc import AsyncGenerator
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from spotisync.errors import Unavailable
from spotisync.store.database import CONNECT, NEVER_IDLE_OUT, split_password

LISTEN: Final = "LISTEN spotisync_status"


async def listen(url: str) -> AsyncGenerator[None]:
    """Yield once when listening, and then after each change. Raises `Unavailable` when the connection is lost."""
    address, password = split_password(url)
    try:
        where = make_conninfo(address, password=password, **CONNECT)
        async with await AsyncConnection.connect(where, autocommit=True) as connection:
            await connection.execute(NEVER_IDLE_OUT)
            await connection.execute(LISTEN)
            yield
            async for _ in connection.notifies():
                yield
    except psycopg.Error as error:  # also raised by a standby, which refuses LISTEN
        raise Unavailable(f"can't listen to the database: {str(error).strip().splitlines()[0]}") from error
