"""End sessions of the page, for all processes that serve it."""

from spotisync.store import web_sessions
from spotisync.sync.context import Context


def end(context: Context, session_id: str, max_age: int) -> None:
    """`max_age`: seconds after which a session expires anyway, and need not be remembered."""
    with context.database.begin() as connection:
        web_sessions.end(connection, session_id)
        web_sessions.delete_expired(connection, max_age)
