"""Time zones of the server, whose names may be fewer than Python's."""

from spotisync.store.database import Connection, execute


def is_known(connection: Connection, zone: str) -> bool:
    found = execute(connection, "SELECT 1 FROM pg_timezone_names WHERE name = :zone", {"zone": zone})
    return found.first() is not None
