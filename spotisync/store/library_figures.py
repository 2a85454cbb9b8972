"""What an account's saved tracks consist of: growth by month, decades, genres, labels. Each reads all saved tracks."""

from dataclasses import dataclass
from datetime import date

from spotisync.store.database import Connection, execute


@dataclass(frozen=True)
class MonthAdded:
    """`month`: its first day."""

    month: date
    tracks: int


@dataclass(frozen=True)
class Share:
    """Saved tracks with a decade (`1990`), genre or label."""

    name: str
    tracks: int


def count_months(connection: Connection, account_id: int, zone: str) -> list[MonthAdded]:
    """Saved tracks by the month in which they were added, in order; months without any are left out."""
    found = execute(
        connection,
        """SELECT CAST(date_trunc('month', added_at AT TIME ZONE :zone) AS date) AS month, count(*) AS tracks
        FROM saved_tracks WHERE account_id = :account_id AND removed_at IS NULL GROUP BY 1 ORDER BY 1""",
        {"account_id": account_id, "zone": zone},
    )
    return [MonthAdded(**row) for row in found.mappings()]


def count_decades(connection: Connection, account_id: int) -> list[Share]:
    """In order, without tracks whose year is unknown."""
    return _count(
        connection,
        account_id,
        """SELECT CAST(CAST(extract(year FROM b.released_on) AS integer) / 10 * 10 AS text) AS name, count(*) AS tracks
        FROM saved JOIN tracks t ON t.id = saved.track_id JOIN albums b ON b.id = t.album_id
        WHERE b.released_on IS NOT NULL GROUP BY 1 ORDER BY 1""",
    )


def count_genres(connection: Connection, account_id: int, limit: int) -> list[Share]:
    """The most frequent genres of the artists; a track counts once for each."""
    return _count(
        connection,
        account_id,
        """SELECT g AS name, count(DISTINCT saved.track_id) AS tracks
        FROM saved JOIN track_artists x USING (track_id) JOIN artists r ON r.id = x.artist_id, unnest(r.genres) g
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :limit""",
        limit,
    )


def count_labels(connection: Connection, account_id: int, limit: int) -> list[Share]:
    return _count(
        connection,
        account_id,
        """SELECT b.label AS name, count(*) AS tracks
        FROM saved JOIN tracks t ON t.id = saved.track_id JOIN albums b ON b.id = t.album_id
        WHERE b.label IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :limit""",
        limit,
    )


def _count(connection: Connection, account_id: int, query: str, limit: int | None = None) -> list[Share]:
    saved = "SELECT track_id FROM saved_tracks WHERE account_id = :account_id AND removed_at IS NULL"
    found = execute(connection, f"WITH saved AS ({saved}) {query}", {"account_id": account_id, "limit": limit})
    return [Share(**row) for row in found.mappings()]
