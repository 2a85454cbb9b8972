"""Accept changes of Spotify's replies, which otherwise freeze removals until the missing key returns."""

from spotisync.store import accounts, reply_shapes
from spotisync.sync.context import Context


def accept_changes(context: Context) -> int:
    """Close all open alarms of the apps in use at a person's request. Returns their number."""
    with context.database.begin() as connection:
        client_ids = accounts.list_client_ids(connection, context.default_app.client_id)
        return reply_shapes.accept(connection, client_ids)
