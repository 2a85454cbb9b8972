"""Example queries that the demo runs on the library."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from spotisync.store.database import Connection, execute

QUESTIONS: Final = {
    "Which artists have I saved most?": """\
SELECT artists.name, count(*) AS saved_tracks
FROM saved_tracks
    JOIN track_artists USING (track_id)
    JOIN artists ON artists.id = artist_id
WHERE removed_at IS NULL
GROUP BY artists.id ORDER BY saved_tracks DESC, name LIMIT 5""",
    "From which decades is my music?": """\
SELECT extract(decade FROM released_on) * 10 AS decade, count(*) AS saved_tracks
FROM saved_tracks
    JOIN tracks ON tracks.id = track_id
    JOIN albums ON albums.id = album_id
WHERE removed_at IS NULL AND released_on IS NOT NULL
GROUP BY decade ORDER BY decade""",
    "Which genres are in my playlists?": """\
SELECT genre, count(DISTINCT track_id) AS tracks
FROM playlist_items
    JOIN track_artists USING (track_id)
    JOIN artists ON artists.id = artist_id,
    unnest(genres) AS genre
GROUP BY genre ORDER BY tracks DESC, genre LIMIT 5""",
}


@dataclass(frozen=True)
class QueryResult:
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def run_query(connection: Connection, question: str) -> QueryResult:
    result = execute(connection, question)
    return QueryResult(list(result.keys()), [tuple(row) for row in result])


def count_library(connection: Connection) -> dict[str, int]:
    """Count stored rows by kind, over all accounts. Tracks known from an import only have no album yet."""
    found = execute(
        connection,
        """SELECT (SELECT count(*) FROM saved_tracks WHERE removed_at IS NULL) AS saved_tracks,
            (SELECT count(*) FROM tracks WHERE album_id IS NOT NULL) AS tracks,
            (SELECT count(*) FROM artists) AS artists, (SELECT count(*) FROM albums) AS albums,
            (SELECT count(*) FROM account_playlists WHERE removed_at IS NULL) AS playlists,
            (SELECT count(*) FROM playlist_items) AS playlist_items""",
    ).mappings()
    return dict(found.one())


def count_imported_plays(connection: Connection) -> int:
    counted: int = execute(connection, "SELECT count(*) FROM play_history WHERE source = 'import'").scalar_one()
    return counted
