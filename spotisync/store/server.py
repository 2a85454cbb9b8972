"""The database server itself."""

from datetime import datetime

from sqlalchemy import Connection, text


def server_version(connection: Connection) -> str:
    return str(connection.execute(text("SELECT current_setting('server_version')")).scalar_one())


def server_time(connection: Connection) -> datetime:
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now
