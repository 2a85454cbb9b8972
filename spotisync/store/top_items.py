"""Snapshots of the top artists and tracks of each account, one a week."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from spotisync.store import schema
from spotisync.store.bulk import upsert
from spotisync.store.database import Connection, execute

TopKind = Literal["artists", "tracks"]
TimeRange = Literal["short_term", "medium_term", "long_term"]


def claim(connection: Connection, account_id: int, retry: timedelta) -> bool:
    """Take the account's snapshot if it is due. If nothing else is scheduled, it is due again after `retry`."""
    updated = execute(
        connection,
        """UPDATE playback SET top_items_due_at = now() + :retry
        WHERE account_id = :account_id AND (top_items_due_at IS NULL OR top_items_due_at <= now())""",
        {"account_id": account_id, "retry": retry},
    )
    return updated.rowcount == 1


def schedule(connection: Connection, account_id: int, after: timedelta) -> None:
    execute(
        connection,
        "UPDATE playback SET top_items_due_at = now() + :after WHERE account_id = :account_id",
        {"account_id": account_id, "after": after},
    )


def save(connection: Connection, account_id: int, rankings: Mapping[tuple[TopKind, TimeRange], Sequence[str]]) -> None:
    """Store a snapshot of today (UTC). A second one of a day replaces the first."""
    today = execute(connection, "SELECT (now() AT TIME ZONE 'UTC')::date").scalar_one()
    execute(
        connection,
        "DELETE FROM top_items WHERE account_id = :account_id AND taken_on = :today",
        {"account_id": account_id, "today": today},
    )
    upsert(
        connection,
        schema.top_items,
        [
            {
                "account_id": account_id,
                "taken_on": today,
                "kind": kind,
                "time_range": time_range,
                "position": n,
                "id": id_,
            }
            for (kind, time_range), ids in rankings.items()
            for n, id_ in enumerate(ids)
        ],
    )
