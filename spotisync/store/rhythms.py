"""The rhythm of each listener, computed from stored plays and from the incremental syncs that found changes."""

from spotisync.core.rhythm import Rhythm
from spotisync.store.database import Connection, execute

# Hours of the day are those of the last two weeks; the fastest plays, those of the last three months.
_HABITS = "interval '14 days'"
_PACE = "interval '90 days'"


def update_rhythm(connection: Connection, account_id: int) -> Rhythm:
    """Compute the rhythm anew; `known_since` stays that of the first time."""
    row = execute(connection, _UPDATE, {"id": account_id}).mappings().one()
    return Rhythm(**row)


def update_after_run(connection: Connection, sync_id: int) -> None:
    """Compute the rhythm of the run's account anew if it is not known, or the run has found changes."""
    found = execute(
        connection,
        """SELECT account_id FROM sync_history r WHERE r.id = :id
            AND (r.items_added + r.items_updated + r.items_removed > 0 AND r.sync_type = 'incremental'
                OR NOT EXISTS (SELECT 1 FROM rhythms h WHERE h.account_id = r.account_id))""",
        {"id": sync_id},
    ).scalar_one_or_none()
    if found is not None:
        update_rhythm(connection, found)


# A change is noticed by the next sync, so the hour before it counts as well.
_UPDATE = f"""WITH activity AS (
        SELECT played_at AS at FROM play_history WHERE account_id = :id AND played_at > now() - {_HABITS}
        UNION ALL SELECT started_at - span FROM sync_history, (VALUES (interval '0'), (interval '1 hour')) s(span)
            WHERE account_id = :id AND sync_type = 'incremental' AND started_at > now() - {_HABITS}
            AND items_added + items_updated + items_removed > 0),
    plays AS (SELECT lead(played_at, 9) OVER (ORDER BY played_at) - played_at AS ten FROM play_history
        WHERE account_id = :id AND played_at > now() - {_PACE})
    INSERT INTO rhythms AS r (account_id, busy_hours, seconds_per_play, active_at, known_since)
    SELECT :id, COALESCE((SELECT bit_or(1 << CAST(EXTRACT(hour FROM at AT TIME ZONE 'UTC') AS int)) FROM activity), 0),
        (SELECT EXTRACT(epoch FROM min(ten)) / 9 FROM plays), (SELECT max(at) FROM activity WHERE at <= now()), now()
    ON CONFLICT (account_id) DO UPDATE SET busy_hours = excluded.busy_hours,
        seconds_per_play = excluded.seconds_per_play, active_at = excluded.active_at, updated_at = now()
    RETURNING busy_hours, seconds_per_play, active_at, known_since"""
