"""Sessions of the page that were logged out. All others are in cookies only."""

from datetime import datetime

from spotisync.store.database import Connection, execute


def end(connection: Connection, session_id: str) -> None:
    execute(
        connection,
        "INSERT INTO ended_sessions (session_id) VALUES (:session_id) ON CONFLICT DO NOTHING",
        {"session_id": session_id},
    )


def find_end(connection: Connection, session_id: str) -> datetime | None:
    return execute(
        connection, "SELECT ended_at FROM ended_sessions WHERE session_id = :session_id", {"session_id": session_id}
    ).scalar_one_or_none()


def delete_expired(connection: Connection, seconds: int) -> None:
    """Delete sessions that ended `seconds` ago: their cookies have expired."""
    execute(
        connection,
        "DELETE FROM ended_sessions WHERE ended_at < now() - make_interval(secs => :seconds)",
        {"seconds": seconds},
    )
