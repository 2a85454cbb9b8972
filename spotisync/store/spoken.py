"""Shows, episodes and audiobooks: one row per id, shared by all accounts."""

from typing import Any

from spotisync.core.rows import CatalogueRows
from spotisync.store import schema
from spotisync.store.bulk import upsert
from spotisync.store.database import Connection, execute


def save_rows(connection: Connection, rows: CatalogueRows) -> None:
    upsert(connection, schema.audiobooks, [dict(vars(row)) for row in rows.audiobooks.values()])
    upsert(connection, schema.shows, [_columns(row) for row in rows.shows.values()])
    upsert(connection, schema.episodes, [dict(vars(row)) for row in rows.episodes.values()])
    _mark_audiobooks(connection, rows)


def _columns(row: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name != "is_audiobook"}


def _mark_audiobooks(connection: Connection, rows: CatalogueRows) -> None:
    """Mark audiobooks among the shows: those that describe themselves as one, and those that Spotify lists as one."""
    execute(
        connection,
        """UPDATE shows SET is_audiobook = true WHERE id = ANY(:ids) AND NOT is_audiobook
        AND (id = ANY(:described) OR id IN (SELECT a.id FROM audiobooks a WHERE a.id = ANY(:ids)))""",
        {
            "ids": sorted(rows.shows.keys() | rows.audiobooks.keys()),
            "described": sorted(row.id for row in rows.shows.values() if row.is_audiobook),
        },
    )


def copy_dates(connection: Connection, account_id: int) -> None:
    """Give saved audiobooks, which Spotify lists without a date, the dates that they have in the list of shows."""
    execute(
        connection,
        """UPDATE saved_audiobooks b SET added_at = s.added_at FROM saved_shows s
        WHERE b.account_id = :account_id AND s.account_id = b.account_id AND s.show_id = b.audiobook_id
        AND s.added_at IS NOT NULL AND s.removed_at IS NULL AND b.added_at IS DISTINCT FROM s.added_at""",
        {"account_id": account_id},
    )
