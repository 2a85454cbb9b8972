"""What people are told: noticed, taken by one process at a time, and noted when it has reached them."""

from collections.abc import Callable

from spotisync.store import notifications
from spotisync.store.database import Connection
from spotisync.store.notifications import Condition, Notification
from spotisync.sync.context import Context

# A batch that is due is with a worker in milliseconds, and sweep looks every few seconds.
STUCK_SECONDS = 900
Words = Callable[[Connection, Condition], tuple[str, str]]


def record_new(context: Context, words: Words) -> None:
    """Keep what is to be told, in the words (title, text) of this moment. At any time one process does so."""
    with context.database.begin() as connection:
        if not notifications.try_lock(connection):
            return
        client_id, after = context.settings.require_client_id(), context.settings.notify_after
        for fact in [
            *notifications.close_resolved(connection),
            *notifications.find_new(connection, client_id, after, STUCK_SECONDS),
        ]:
            notifications.add(connection, fact, *words(connection, fact))


def claim_due(context: Context) -> Notification | None:
    with context.database.begin() as connection:
        return notifications.claim_due(connection)


def mark_delivered_to(context: Context, notice: Notification, digest: str) -> None:
    with context.database.begin() as connection:
        notifications.mark_delivered_to(connection, notice, digest)


def mark_delivered(context: Context, notice: Notification) -> None:
    with context.database.begin() as connection:
        notifications.mark_delivered(connection, notice)
