"""A word from Postgres that something has changed: which tables say so stands in migration 0003."""

from collections.abc import AsyncGenerator
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from spotisync.errors import Unavailable
from spotisync.store.database import CONNECT, NEVER_IDLE_OUT, address_and_password

LISTEN: Final = "LISTEN spotisync_status"


async def listen(url: str) -> AsyncGenerator[None]:
    """Once when it listens, and then after each change. Raises `Unavailable` when the connection is lost."""
    address, password = address_and_password(url)
    try:
        where = make_conninfo(address, password=password, **CONNECT)
        async with await AsyncConnection.connect(where, autocommit=True) as connection:
            await connection.execute(NEVER_IDLE_OUT)
            await connection.execute(LISTEN)
            yield
            async for _ in connection.notifies():
                yield
    except psycopg.Error as error:  # not only lost: a standby that took over refuses to listen
        raise Unavailable(f"nothing can be heard from the database: {str(error).strip().splitlines()[0]}") from error
