"""Give the retention horizon its own table; keep the last reading of every list in `listings`.

Revision: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The functions that refuse a moment whose history has been deleted. Only the check differs between the revisions.
HORIZON = "SELECT h.kept_since FROM history_retention h"
CHECK = f"""
    IF moment < ({HORIZON}) THEN
        RAISE EXCEPTION 'History before % has been deleted (SPOTISYNC_RETENTION_DAYS)', ({HORIZON});
    END IF;"""
OLD_HORIZON = "SELECT k.beat_at FROM heartbeats k WHERE k.name = 'history kept since'"
OLD_CHECK = f"""
    IF moment < ({OLD_HORIZON}) THEN
        RAISE EXCEPTION 'what was before % is not kept any more (SPOTISYNC_RETENTION_DAYS)', ({OLD_HORIZON});
    END IF;"""
AS_OF = (
    """CREATE OR REPLACE FUNCTION library_as_of(account bigint, moment timestamptz)
    RETURNS TABLE (track_id text, name text, added_at timestamptz, run bigint) LANGUAGE plpgsql STABLE AS $$
    BEGIN {check}
        RETURN QUERY SELECT s.track_id, t.name, s.added_at, r.id
        FROM (SELECT h.id, h.completed_at FROM sync_history h WHERE h.account_id = account AND h.status = 'success'
            AND h.completed_at < moment ORDER BY h.completed_at DESC, h.id DESC LIMIT 1) r
        JOIN saved_spans s ON s.account_id = account AND s.from_at <= r.completed_at
            AND (s.to_at IS NULL OR s.to_at > r.completed_at)
        JOIN tracks t ON t.id = s.track_id ORDER BY s.added_at DESC, s.track_id;
    END $$""",
    """CREATE OR REPLACE FUNCTION playlist_as_of(playlist text, moment timestamptz)
    RETURNS TABLE ("position" integer, kind text, track_id text, uri text, name text, added_at timestamptz,
        added_by text) LANGUAGE plpgsql STABLE AS $$
    BEGIN {check}
        RETURN QUERY SELECT (i->>0)::integer, i->>1, i->>2, i->>3, COALESCE(i->>4, t.name),
            to_timestamp((i->>5)::double precision), i->>6
        FROM (SELECT v.items FROM playlist_versions v WHERE v.playlist_id = playlist AND v.read_at < moment
            ORDER BY v.read_at DESC LIMIT 1) l
        CROSS JOIN LATERAL jsonb_array_elements(l.items) i LEFT JOIN tracks t ON t.id = i->>2 ORDER BY 1;
    END $$""",
)

RENAMED_COLUMNS = {
    "put_off": "deferred",
    "put_off_sync_id": "deferred_sync_id",
    "put_off_reason": "deferred_reason",
}
# Columns of `accounts` whose values move to the row of the list of playlists.
MOVED_COLUMNS = ("null_playlists", "idle_null_playlists", "playlists_proved_at")

TABLE_COMMENTS = {
    "saved_spans": "Periods in which a track was saved, as known to runs; maintained by a trigger on saved_tracks",
    "playlist_spans": "Periods in which an account had a playlist; maintained by a trigger on account_playlists",
    "playlist_versions": "Contents of a playlist, one row per change: [position, kind, track, uri, name, added, by]",
    "listings": "The last proved reading of each list that is read whole, and what a run left of it to a later one",
    "playback": "The last read of recently played, and the error of a later read that failed",
    "playback_gaps": "Where plays may be missing: Spotify returns the last 50 plays, and all of them were new",
    "apps": "The API regime of each Spotify app, detected from responses; null: not known yet",
    "call_ledger": "Web API requests sent, by minute; budgets per 24 hours are computed from it",
    "tallies": "Increments of counters; a total is the sum of its rows, which the sweep compacts",
    "notices": "Notifications for the operator; each is sent once",
    "heartbeats": "When periodic tasks last ran",
    "schedules": "When scheduled syncs and playback reads are due, and the result of the last one",
    "waiters": "One row for each task message that triggered a run: its caller gets the result when the run ends",
    "seen_tracks": "Staging: tracks met so far by a walk over saved tracks",
    "seen_nulls": "Staging: rows without a track met so far by a walk over saved tracks",
    "null_rows": "Rows without a track in the last proved walk: all, and those that hide no known track",
    "excess_rows": "Rows in Spotify's list of saved tracks without a stored row, by the minute of their date",
    "read_rows": "Staging: rows of the list of saved tracks read by an incremental sync, by position",
    "staged_items": "Staging: contents of a playlist until its last page has been read",
}


def upgrade() -> None:
    op.create_table(
        "history_retention",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("trimmed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("kept_since", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("only_row", name=op.f("ck_history_retention_only_row")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("pk_history_retention")),
        comment="When history was last trimmed, and the moment before which it may be incomplete; one row",
    )
    op.execute(
        """INSERT INTO history_retention (trimmed_at, kept_since)
        SELECT COALESCE(max(beat_at) FILTER (WHERE name = 'trim'), '-infinity'),
            max(beat_at) FILTER (WHERE name = 'history kept since')
        FROM heartbeats WHERE name IN ('trim', 'history kept since') HAVING count(*) > 0"""
    )
    for function in AS_OF:
        op.execute(function.format(check=CHECK))
    op.execute("DELETE FROM heartbeats WHERE name IN ('trim', 'history kept since')")
    op.drop_column("accounts", "walked_excess")
    _create_listings()
    for table, comment in TABLE_COMMENTS.items():
        op.create_table_comment(table, comment)


def downgrade() -> None:
    # Comments stay: they describe the tables of the earlier revision too.
    _restore_saved_lists()
    op.add_column("accounts", sa.Column("walked_excess", sa.Integer(), nullable=True))
    op.execute(
        """UPDATE accounts a SET walked_excess = walked_total - (SELECT count(*) FROM saved_tracks s
        WHERE s.account_id = a.id AND s.removed_at IS NULL) WHERE walked_total IS NOT NULL"""
    )
    op.execute(
        """INSERT INTO heartbeats (name, beat_at) SELECT v.name, v.beat_at
        FROM history_retention, LATERAL (VALUES ('trim', trimmed_at), ('history kept since', kept_since))
            AS v(name, beat_at) WHERE v.beat_at IS NOT NULL"""
    )
    for function in AS_OF:
        op.execute(function.format(check=OLD_CHECK))
    op.drop_table("history_retention")


def _create_listings() -> None:
    op.rename_table("saved_lists", "listings")
    for old, new in RENAMED_COLUMNS.items():
        op.alter_column("listings", old, new_column_name=new)
    _rename_constraints("saved_lists", "listings")
    _allow_lists("followed_artists", "saved_albums", "playlists")
    op.execute(
        """INSERT INTO listings (account_id, list, total, first_page, read_at, null_rows, idle_null_rows)
        SELECT a.id, 'playlists', (SELECT count(*) FROM account_playlists p
                WHERE p.account_id = a.id AND p.removed_at IS NULL), '', COALESCE(a.playlists_proved_at, now()),
            a.null_playlists, COALESCE(a.idle_null_playlists, a.null_playlists)
        FROM accounts a WHERE a.null_playlists IS NOT NULL"""
    )
    for column in MOVED_COLUMNS:
        op.drop_column("accounts", column)


def _restore_saved_lists() -> None:
    op.add_column("accounts", sa.Column("null_playlists", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("idle_null_playlists", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("playlists_proved_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        """UPDATE accounts a SET null_playlists = l.null_rows, idle_null_playlists = l.idle_null_rows,
            playlists_proved_at = l.read_at
        FROM listings l WHERE l.account_id = a.id AND l.list = 'playlists' AND l.read_at IS NOT NULL"""
    )
    op.execute("DELETE FROM listings WHERE list = 'playlists'")
    _allow_lists("saved_albums", "followed_artists")
    _rename_constraints("listings", "saved_lists")
    for old, new in RENAMED_COLUMNS.items():
        op.alter_column("listings", new, new_column_name=old)
    op.rename_table("listings", "saved_lists")


def _allow_lists(*names: str) -> None:
    allowed = ", ".join(f"'{name}'" for name in names)
    op.execute("ALTER TABLE listings DROP CONSTRAINT ck_listings_list")
    op.execute(f"ALTER TABLE listings ADD CONSTRAINT ck_listings_list CHECK (list IN ({allowed}))")


def _rename_constraints(old: str, new: str) -> None:
    for constraint in (f"pk_{old}", f"ck_{old}_list", f"fk_{old}_account_id"):
        op.execute(f"ALTER TABLE listings RENAME CONSTRAINT {constraint} TO {constraint.replace(old, new)}")
