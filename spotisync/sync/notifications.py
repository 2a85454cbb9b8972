"""Transactions of notifications: record new ones, claim one at a time, mark them delivered."""

from collections.abc import Callable

from spotisync.store import notifications, vanished
from spotisync.store.database import Connection
from spotisync.store.notifications import Condition
from spotisync.sync.context import Context, in_transaction

# A due batch normally reaches a worker in milliseconds, and a sweep looks for due batches every few seconds.
STUCK_SECONDS = 900
# Returns title and body.
Describe = Callable[[Connection, Condition], tuple[str, str]]


def record_new(context: Context, describe: Describe) -> None:
    """Store a notification for each new or resolved condition, with the text of this moment. One process at a time."""
    with context.database.begin() as connection:
        if not notifications.try_lock(connection):
            return
        default, after = context.default_app.identity, context.settings.notify_after
        resolved = notifications.close_resolved(connection)
        for condition in [*resolved, *notifications.find_new(connection, default, after, STUCK_SECONDS)]:
            notifications.add(connection, condition, *describe(connection, condition))
        for run in vanished.list_ended_runs(connection):
            if rows := vanished.list_new_rows(connection, run):
                key = f"vanished:{run.account_id}:{run.sync_id}"
                found = Condition(key, "vanished", run.account_id, run.account, run.sync_id, vanished=rows)
                notifications.add(connection, found, *describe(connection, found))
            vanished.mark_checked(connection, run)


claim_due = in_transaction(notifications.claim_due)
mark_delivered_to = in_transaction(notifications.mark_delivered_to)
mark_delivered = in_transaction(notifications.mark_delivered)
