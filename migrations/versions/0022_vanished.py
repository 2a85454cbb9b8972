"""Note which tracks can't be played, and complete the view `vanished`: greyed-out tracks, hidden albums, twins.

Revision: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
KINDS = ("failed", "needs_login", "login_ends", "waiting", "stuck", "over", "drift")

# Each arm of `lost` yields: account, playlist and position or null, track or null, album (of an album that is gone) or
# null, when it was added, since when it is gone (null: unknown), why, whether that is certain, Spotify's restriction.
#
# A removed track is not lost if another one with its ISRC is saved, or the one that Spotify has replaced it by.
#
# Many rows of a playlist may have been added at one time, but a row without a track keeps its place among them. Its
# track is therefore the one in the last version in which as many rows were added at that time, unless it is still in
# the playlist. Who added it does not matter: Spotify omits that in a row without a track.
#
# A track is hidden for certain only if the walk says so: a row without a date, or of the saved albums, may hide any.
VANISHED = """
    WITH holes AS (
        SELECT * FROM (
            SELECT i.playlist_id, i.position, i.kind, i.added_at, COALESCE(i.added_at, '-infinity') AS at,
                row_number() OVER added AS place, count(*) OVER added_rows AS rows
            FROM playlist_items i
            WHERE i.playlist_id IN (SELECT u.playlist_id FROM playlist_items u WHERE u.kind = 'unavailable')
            WINDOW added_rows AS (PARTITION BY i.playlist_id, i.added_at),
                added AS (added_rows ORDER BY i.position)
        ) placed WHERE kind = 'unavailable'
    ), earlier AS (
        SELECT v.playlist_id, v.read_at, v.next_read_at, e.track_id, e.at,
            row_number() OVER added AS place, count(*) OVER added_rows AS rows
        FROM (SELECT w.playlist_id, w.read_at, w.items,
                lead(w.read_at) OVER (PARTITION BY w.playlist_id ORDER BY w.read_at) AS next_read_at
            FROM playlist_versions w WHERE w.playlist_id IN (SELECT playlist_id FROM holes)) v
        CROSS JOIN LATERAL (
            SELECT (j->>0)::integer AS position, j->>2 AS track_id,
                COALESCE(to_timestamp((j->>5)::double precision), '-infinity') AS at
            FROM jsonb_array_elements(v.items) j) e
        WHERE (v.playlist_id, e.at) IN (SELECT playlist_id, at FROM holes)
        WINDOW added_rows AS (PARTITION BY v.playlist_id, v.read_at, e.at),
            added AS (added_rows ORDER BY e.position)
    ), filled AS (
        SELECT DISTINCT ON (h.playlist_id, h.position) h.playlist_id, h.position, e.track_id, e.next_read_at
        FROM holes h JOIN earlier e USING (playlist_id, at, place, rows)
        WHERE e.track_id IS NOT NULL ORDER BY h.playlist_id, h.position, e.read_at DESC
    ), lost AS (
        SELECT s.account_id, NULL::text AS playlist_id, NULL::integer AS position, s.track_id, NULL::text AS album_id,
            s.added_at, s.removed_at AS gone_since, 'removed' AS reason, true AS certain, NULL::text AS restriction
        FROM saved_tracks s JOIN tracks t ON t.id = s.track_id
        WHERE s.removed_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM tracks u JOIN saved_tracks w ON w.track_id = u.id
            WHERE u.isrc = t.isrc AND w.account_id = s.account_id AND w.removed_at IS NULL)
        AND NOT EXISTS (
            SELECT 1 FROM tracks u JOIN saved_tracks w ON w.track_id = u.id
            WHERE u.linked_from = t.id AND w.account_id = s.account_id AND w.removed_at IS NULL)
        UNION ALL
        SELECT s.account_id, NULL, NULL, s.track_id, NULL, s.added_at, u.since, 'unplayable', true, u.restriction
        FROM unplayable_tracks u JOIN saved_tracks s ON s.account_id = u.account_id AND s.track_id = u.track_id
        WHERE s.removed_at IS NULL
        UNION ALL
        SELECT l.account_id, i.playlist_id, i.position, i.track_id, NULL, i.added_at, u.since, 'unplayable', true,
            u.restriction
        FROM unplayable_tracks u JOIN playlist_items i ON i.track_id = u.track_id
            JOIN account_playlists l ON l.playlist_id = i.playlist_id AND l.account_id = u.account_id
        WHERE l.removed_at IS NULL
        UNION ALL
        SELECT s.account_id, NULL, NULL, s.track_id, NULL, s.added_at, s.hidden_since, 'hidden',
            COALESCE(s.surely_hidden_since >= s.hidden_since, false), NULL
        FROM saved_tracks s WHERE s.removed_at IS NULL AND s.hidden_since IS NOT NULL
        UNION ALL
        SELECT l.account_id, h.playlist_id, h.position, k.track_id, NULL, h.added_at, k.next_read_at, 'unavailable',
            true, NULL
        FROM holes h JOIN account_playlists l ON l.playlist_id = h.playlist_id AND l.removed_at IS NULL
            LEFT JOIN filled k ON k.playlist_id = h.playlist_id AND k.position = h.position AND NOT EXISTS (
                SELECT 1 FROM playlist_items i WHERE i.playlist_id = h.playlist_id AND i.track_id = k.track_id)
        UNION ALL
        SELECT s.account_id, NULL, NULL, NULL, s.album_id, s.added_at, s.hidden_since, 'hidden', false, NULL
        FROM saved_albums s WHERE s.removed_at IS NULL AND s.hidden_since IS NOT NULL
    ), twins AS (
        SELECT DISTINCT ON (account_id, track_id) account_id, track_id, id, name, album_id FROM (
            SELECT g.account_id, g.track_id, u.id, u.name, u.album_id
            FROM (SELECT DISTINCT account_id, track_id FROM lost) g JOIN tracks t ON t.id = g.track_id
                JOIN tracks u ON u.isrc = t.isrc AND u.id <> t.id WHERE u.is_playable
            UNION ALL
            SELECT g.account_id, g.track_id, u.id, u.name, u.album_id
            FROM (SELECT DISTINCT account_id, track_id FROM lost) g JOIN tracks u ON u.linked_from = g.track_id
            WHERE u.is_playable) playable
        WHERE NOT EXISTS (SELECT 1 FROM unplayable_tracks x
            WHERE x.account_id = playable.account_id AND x.track_id = playable.id)
        ORDER BY account_id, track_id, id
    )
    SELECT l.account_id, a.spotify_user_id AS account, l.reason, l.gone_since, l.playlist_id, p.name AS playlist,
        l.position, l.track_id, t.name AS track, COALESCE(o.artist_id, c.artist_id) AS artist_id, f.name AS artist,
        CASE WHEN l.album_id IS NULL THEN ARRAY(
            SELECT r.name FROM track_artists x JOIN artists r ON r.id = x.artist_id
            WHERE x.track_id = l.track_id ORDER BY x.position)
        ELSE ARRAY(
            SELECT r.name FROM album_artists x JOIN artists r ON r.id = x.artist_id
            WHERE x.album_id = l.album_id ORDER BY x.position) END AS artists,
        COALESCE(l.album_id, t.album_id) AS album_id, b.name AS album, l.added_at, t.isrc,
        CASE WHEN l.album_id IS NULL THEN 'track' ELSE 'album' END AS kind, l.certain, l.restriction,
        w.id AS twin_id, w.name AS twin, v.name AS twin_album
    FROM lost l LEFT JOIN accounts a ON a.id = l.account_id LEFT JOIN playlists p ON p.id = l.playlist_id
        LEFT JOIN tracks t ON t.id = l.track_id LEFT JOIN albums b ON b.id = COALESCE(l.album_id, t.album_id)
        LEFT JOIN track_artists o ON o.track_id = l.track_id AND o.position = 0
        LEFT JOIN album_artists c ON c.album_id = l.album_id AND c.position = 0
        LEFT JOIN artists f ON f.id = COALESCE(o.artist_id, c.artist_id)
        LEFT JOIN twins w ON w.account_id = l.account_id AND w.track_id = l.track_id
        LEFT JOIN albums v ON v.id = w.album_id"""
COMMENT = "Tracks and albums that were saved, or in a playlist, and are gone, greyed out, hidden or unavailable"


def upgrade() -> None:
    op.add_column("tracks", sa.Column("is_playable", sa.Boolean(), nullable=True))
    op.add_column("tracks", sa.Column("unavailable_since", TIME, nullable=True))
    op.add_column("tracks", sa.Column("linked_from", sa.Text(), nullable=True))
    op.add_column("saved_tracks", sa.Column("surely_hidden_since", TIME, nullable=True))
    op.add_column("accounts", sa.Column("vanished_until", TIME, nullable=True))
    op.create_table(
        "unplayable_tracks",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("track_id", sa.Text(), nullable=False),
        sa.Column("since", TIME, nullable=True),
        sa.Column("restriction", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_unplayable_tracks_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["track_id"], ["tracks.id"], name=op.f("fk_unplayable_tracks_track_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "track_id", name=op.f("pk_unplayable_tracks")),
        comment="Tracks that Spotify shows greyed out to an account; since is null if it was so at the first sync",
    )
    op.create_index(op.f("ix_unplayable_tracks_track_id"), "unplayable_tracks", ["track_id"])
    _allow_kinds(*KINDS, "vanished")
    # Replaced, not created again: the reader's grant stays.
    op.execute(f"CREATE OR REPLACE VIEW vanished AS {VANISHED}")
    op.execute(f"COMMENT ON VIEW vanished IS '{COMMENT}'")


def downgrade() -> None:
    op.execute("DROP VIEW vanished")
    script = op.get_context().script
    assert script is not None  # noqa: S101 (migrations run from their scripts)
    query, comment = script.get_revision("0019").module.VIEWS["vanished"]
    op.execute(f"CREATE VIEW vanished AS {query}")
    op.execute(f"COMMENT ON VIEW vanished IS '{comment}'")
    op.execute("DELETE FROM notices WHERE kind = 'vanished'")
    _allow_kinds(*KINDS)
    op.drop_table("unplayable_tracks")
    op.drop_column("accounts", "vanished_until")
    op.drop_column("saved_tracks", "surely_hidden_since")
    for column in ("linked_from", "unavailable_since", "is_playable"):
        op.drop_column("tracks", column)


def _allow_kinds(*kinds: str) -> None:
    allowed = ", ".join(f"'{kind}'" for kind in kinds)
    op.execute("ALTER TABLE notices DROP CONSTRAINT ck_notices_kind")
    op.execute(f"ALTER TABLE notices ADD CONSTRAINT ck_notices_kind CHECK (kind IN ({allowed}))")
