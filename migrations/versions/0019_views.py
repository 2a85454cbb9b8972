"""Create views with plain names, for people's SQL (docs/sql.md).

Days and hours are those of the session's time zone. Columns for names of artists come twice: `artist` is the first one,
found by a join, and `artists` all of them, found by a subquery that costs nothing in queries that leave it out.

Revision: 0019
Revises: 0017
"""

from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None


def names(track_id: str, track: str = "t.name") -> str:
    """Columns of the joins of `named`."""
    artists = f"""ARRAY(SELECT r.name FROM track_artists x JOIN artists r ON r.id = x.artist_id
        WHERE x.track_id = {track_id} ORDER BY x.position)"""
    return f"{track} AS track, o.artist_id, f.name AS artist, {artists} AS artists, t.album_id, b.name AS album"


def named(track_id: str) -> str:
    """Outer joins by unique keys, which Postgres leaves out of queries that don't use their columns."""
    return f"""LEFT JOIN tracks t ON t.id = {track_id} LEFT JOIN albums b ON b.id = t.album_id
        LEFT JOIN track_artists o ON o.track_id = {track_id} AND o.position = 0
        LEFT JOIN artists f ON f.id = o.artist_id"""


# Unknown and no genres are both null.
GENRES = """(SELECT array_agg(DISTINCT g ORDER BY g) FROM track_artists x JOIN artists r ON r.id = x.artist_id,
    unnest(r.genres) g WHERE x.track_id = s.track_id)"""
# What Spotify counts as a play; see docs/decisions/0004-one-play-one-row.md.
COUNTED = "(h.ms_played IS NULL OR h.ms_played >= 30000)"

LIBRARY_NOW = f"""
    SELECT s.account_id, a.spotify_user_id AS account, s.track_id, {names("s.track_id")}, b.release_date,
        b.released_on, b.label, {GENRES} AS genres, s.added_at, t.duration_ms, t.explicit, t.isrc, t.popularity
    FROM saved_tracks s LEFT JOIN accounts a ON a.id = s.account_id {named("s.track_id")}
    WHERE s.removed_at IS NULL"""

PLAYLIST_NOW = f"""
    SELECT l.account_id, a.spotify_user_id AS account, i.playlist_id, p.name AS playlist, p.owner_name AS owner,
        i.position, i.kind, i.track_id, {names("i.track_id", "COALESCE(t.name, i.name)")}, b.release_date,
        b.released_on, i.added_at, i.added_by, t.duration_ms, t.isrc, COALESCE(i.uri, t.uri) AS uri
    FROM account_playlists l JOIN playlist_items i ON i.playlist_id = l.playlist_id
        LEFT JOIN accounts a ON a.id = l.account_id LEFT JOIN playlists p ON p.id = l.playlist_id
        {named("i.track_id")}
    WHERE l.removed_at IS NULL"""

LISTENING = f"""
    SELECT h.account_id, a.spotify_user_id AS account, h.played_at, h.played_at::date AS day,
        date_part('isodow', h.played_at)::integer AS weekday, date_part('hour', h.played_at)::integer AS hour,
        h.track_id, {names("h.track_id")}, b.release_date, b.released_on,
        COALESCE(h.ms_played, t.duration_ms) / 60000::double precision AS minutes, {COUNTED} AS counted, h.context_uri,
        h.source
    FROM play_history h LEFT JOIN accounts a ON a.id = h.account_id {named("h.track_id")}"""

# Reads each day by the primary key, so that a query for some days reads only their plays. A day may begin at a midnight
# that occurs twice or not at all; therefore two hours more are read at both ends, and the date decides.
LISTENING_BY_DAY = f"""
    SELECT a.id AS account_id, a.spotify_user_id AS account, d.day, p.hours, p.plays, p.tracks
    FROM accounts a
    CROSS JOIN LATERAL (SELECT min(h.played_at)::date AS first, max(h.played_at)::date AS last FROM play_history h
        WHERE h.account_id = a.id) known
    CROSS JOIN LATERAL (SELECT known.first + n AS day FROM generate_series(0, known.last - known.first) n) d
    CROSS JOIN LATERAL (
        SELECT round(COALESCE(sum(COALESCE(h.ms_played,
                (SELECT t.duration_ms FROM tracks t WHERE t.id = h.track_id))), 0) / 3600000.0, 4) AS hours,
            count(*) FILTER (WHERE {COUNTED}) AS plays, count(DISTINCT h.track_id) FILTER (WHERE {COUNTED}) AS tracks
        FROM play_history h
        WHERE h.account_id = a.id AND h.played_at >= d.day::timestamptz - interval '2 hours'
            AND h.played_at < (d.day + 1)::timestamptz + interval '2 hours' AND h.played_at::date = d.day
        HAVING count(*) > 0) p"""

# Each arm of `lost` yields: account, playlist and position or null, track or null, when it was added, since when it is
# gone (null: unknown) and why.
#
# A removed track is not lost if another one with its ISRC is saved: Spotify replaces ids.
#
# Many rows of a playlist may have been added at one time, but a row without a track keeps its place among them. Its
# track is therefore the one in the last version in which as many rows were added at that time by that user, unless it
# is still in the playlist.
VANISHED = f"""
    WITH holes AS (
        SELECT * FROM (
            SELECT i.playlist_id, i.position, i.kind, i.added_at, COALESCE(i.added_at, '-infinity') AS at,
                COALESCE(i.added_by, '') AS by, row_number() OVER added AS place, count(*) OVER added_rows AS rows
            FROM playlist_items i
            WHERE i.playlist_id IN (SELECT u.playlist_id FROM playlist_items u WHERE u.kind = 'unavailable')
            WINDOW added_rows AS (PARTITION BY i.playlist_id, i.added_at, i.added_by),
                added AS (added_rows ORDER BY i.position)
        ) placed WHERE kind = 'unavailable'
    ), earlier AS (
        SELECT v.playlist_id, v.read_at, v.next_read_at, e.track_id, e.at, e.by,
            row_number() OVER added AS place, count(*) OVER added_rows AS rows
        FROM (SELECT w.playlist_id, w.read_at, w.items,
                lead(w.read_at) OVER (PARTITION BY w.playlist_id ORDER BY w.read_at) AS next_read_at
            FROM playlist_versions w WHERE w.playlist_id IN (SELECT playlist_id FROM holes)) v
        CROSS JOIN LATERAL (
            SELECT (j->>0)::integer AS position, j->>2 AS track_id, COALESCE(j->>6, '') AS by,
                COALESCE(to_timestamp((j->>5)::double precision), '-infinity') AS at
            FROM jsonb_array_elements(v.items) j) e
        WHERE (v.playlist_id, e.at, e.by) IN (SELECT playlist_id, at, by FROM holes)
        WINDOW added_rows AS (PARTITION BY v.playlist_id, v.read_at, e.at, e.by),
            added AS (added_rows ORDER BY e.position)
    ), filled AS (
        SELECT DISTINCT ON (h.playlist_id, h.position) h.playlist_id, h.position, e.track_id, e.next_read_at
        FROM holes h JOIN earlier e USING (playlist_id, at, by, place, rows)
        WHERE e.track_id IS NOT NULL ORDER BY h.playlist_id, h.position, e.read_at DESC
    ), lost AS (
        SELECT s.account_id, NULL::text AS playlist_id, NULL::integer AS position, s.track_id, s.added_at,
            s.removed_at AS gone_since, 'removed' AS reason
        FROM saved_tracks s JOIN tracks t ON t.id = s.track_id
        WHERE s.removed_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM tracks u JOIN saved_tracks w ON w.track_id = u.id
            WHERE u.isrc = t.isrc AND w.account_id = s.account_id AND w.removed_at IS NULL)
        UNION ALL
        SELECT s.account_id, NULL, NULL, s.track_id, s.added_at, s.hidden_since, 'hidden'
        FROM saved_tracks s WHERE s.removed_at IS NULL AND s.hidden_since IS NOT NULL
        UNION ALL
        SELECT l.account_id, h.playlist_id, h.position, k.track_id, h.added_at, k.next_read_at, 'unavailable'
        FROM holes h JOIN account_playlists l ON l.playlist_id = h.playlist_id AND l.removed_at IS NULL
            LEFT JOIN filled k ON k.playlist_id = h.playlist_id AND k.position = h.position AND NOT EXISTS (
                SELECT 1 FROM playlist_items i WHERE i.playlist_id = h.playlist_id AND i.track_id = k.track_id)
    )
    SELECT l.account_id, a.spotify_user_id AS account, l.reason, l.gone_since, l.playlist_id, p.name AS playlist,
        l.position, l.track_id, {names("l.track_id")}, l.added_at, t.isrc
    FROM lost l LEFT JOIN accounts a ON a.id = l.account_id LEFT JOIN playlists p ON p.id = l.playlist_id
        {named("l.track_id")}"""

VIEWS = {
    "library_now": (LIBRARY_NOW, "Saved tracks, with names"),
    "playlist_now": (PLAYLIST_NOW, "Items of each playlist that an account has, with names"),
    "listening": (LISTENING, "Plays, with names, and with day and hour in the session's time zone"),
    "listening_by_day": (LISTENING_BY_DAY, "Hours, plays and distinct tracks of each day of the session's time zone"),
    "vanished": (VANISHED, "Tracks that were saved, or in a playlist, and are gone, hidden or unavailable"),
}


def upgrade() -> None:
    for name, (query, comment) in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
        op.execute(f"COMMENT ON VIEW {name} IS '{comment.replace(chr(39), chr(39) * 2)}'")


def downgrade() -> None:
    op.execute(f"DROP VIEW {', '.join(VIEWS)}")
