"""What an account's saved tracks consist of: growth by month, decades, genres, labels. Each reads all saved tracks."""

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from spotisync.store.database import Connection, execute
from spotisync.store.listening import allow_memory

ShareKind = Literal["decades", "genres", "labels"]


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
    """Saved tracks by the month in which they were added, in order; months without any are left out.

    Without those whose date Spotify does not tell, which are stored with the epoch.
    """
    found = execute(
        connection,
        """SELECT CAST(date_trunc('month', added_at AT TIME ZONE :zone) AS date) AS month, count(*) AS tracks
        FROM saved_tracks WHERE account_id = :account_id AND removed_at IS NULL AND added_at > 'epoch'
        GROUP BY 1 ORDER BY 1""",
        {"account_id": account_id, "zone": zone},
    )
    return [MonthAdded(**row) for row in found.mappings()]


def count_undated(connection: Connection, account_id: int) -> int:
    """Count the saved tracks whose date Spotify does not tell."""
    found = execute(
        connection,
        """SELECT count(*) FROM saved_tracks
        WHERE account_id = :account_id AND removed_at IS NULL AND added_at <= 'epoch'""",
        {"account_id": account_id},
    )
    return int(found.scalar_one())


def count_shares(connection: Connection, account_id: int, limit: int) -> dict[ShareKind, list[Share]]:
    """Decades in order; the most frequent genres of the artists and labels of the albums. Unknown ones don't count.

    A track counts once for each genre.
    """
    allow_memory(connection)
    found = execute(connection, _SHARES, {"account_id": account_id, "limit": limit})
    shares: dict[ShareKind, list[Share]] = {"decades": [], "genres": [], "labels": []}
    for row in found:
        shares[row.kind].append(Share(row.name, row.tracks))
    return shares


# Counted by album and by artist first, of which there are fewer than tracks. A track of several artists needs the
# distinct genres of all of them.
_SHARES: Final = """WITH saved AS (
        SELECT track_id FROM saved_tracks WHERE account_id = :account_id AND removed_at IS NULL),
    by_album AS MATERIALIZED (SELECT t.album_id AS id, count(*) AS n FROM saved JOIN tracks t ON t.id = saved.track_id
        WHERE t.album_id IS NOT NULL GROUP BY 1),
    credits AS MATERIALIZED (
        SELECT x.track_id, x.artist_id, x.position FROM saved JOIN track_artists x USING (track_id)),
    several AS MATERIALIZED (SELECT DISTINCT track_id FROM credits WHERE position > 0),
    by_genre AS (
        SELECT g, sum(c.n) AS n FROM (
            SELECT artist_id, count(*) AS n FROM credits
            WHERE track_id NOT IN (SELECT track_id FROM several) GROUP BY 1) c
        JOIN artists r ON r.id = c.artist_id CROSS JOIN LATERAL (SELECT DISTINCT g FROM unnest(r.genres) g) u GROUP BY 1
        UNION ALL SELECT g, count(*) FROM (
            SELECT DISTINCT c.track_id, g FROM several JOIN credits c USING (track_id)
            JOIN artists r ON r.id = c.artist_id, unnest(r.genres) g) u GROUP BY 1)
    (SELECT 'decades' AS kind, CAST(CAST(date_part('year', b.released_on) AS integer) / 10 * 10 AS text) AS name,
        CAST(sum(n) AS integer) AS tracks
    FROM by_album JOIN albums b USING (id) WHERE b.released_on IS NOT NULL GROUP BY 2 ORDER BY 2)
    UNION ALL (SELECT 'genres', g, CAST(sum(n) AS integer) FROM by_genre GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT :limit)
    UNION ALL (SELECT 'labels', b.label, CAST(sum(n) AS integer) FROM by_album JOIN albums b USING (id)
    WHERE b.label IS NOT NULL GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT :limit)"""
