"""Accept changes of Spotify's replies, which otherwise freeze removals until the missing key returns."""

from spotisync.store import reply_shapes
from spotisync.sync.context import Context


def accept_changes(context: Context) -> int:
    """Close all open alarms of the app at a person's request. Returns their number."""
    with context.database.begin() as connection:
        return reply_shapes.accept(connection, context.settings.require_client_id())
