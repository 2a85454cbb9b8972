"""what is stale in the catalogue is read again; what an incremental sync saved

Revision: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# As they were, but that they refuse what was trimmed instead of answering with what happens to be left.
_KEPT = """SELECT k.beat_at FROM heartbeats k WHERE k.name = 'history kept since'"""
_CHECK = f"""
    IF moment < ({_KEPT}) THEN
        RAISE EXCEPTION 'what was before % is not kept any more (SPOTISYNC_RETENTION_DAYS)', ({_KEPT});
    END IF;"""
AS_OF = (
    f"""CREATE OR REPLACE FUNCTION library_as_of(account bigint, moment timestamptz)
    RETURNS TABLE (track_id text, name text, added_at timestamptz, run bigint) LANGUAGE plpgsql STABLE AS $$
    BEGIN {_CHECK}
        RETURN QUERY SELECT s.track_id, t.name, s.added_at, r.id
        FROM (SELECT h.id, h.completed_at FROM sync_history h WHERE h.account_id = account AND h.status = 'success'
            AND h.completed_at < moment ORDER BY h.completed_at DESC, h.id DESC LIMIT 1) r
        JOIN saved_spans s ON s.account_id = account AND s.from_at <= r.completed_at
            AND (s.to_at IS NULL OR s.to_at > r.completed_at)
        JOIN tracks t ON t.id = s.track_id ORDER BY s.added_at DESC, s.track_id;
    END $$""",
    f"""CREATE OR REPLACE FUNCTION playlist_as_of(playlist text, moment timestamptz)
    RETURNS TABLE ("position" integer, kind text, track_id text, uri text, name text, added_at timestamptz,
        added_by text) LANGUAGE plpgsql STABLE AS $$
    BEGIN {_CHECK}
        RETURN QUERY SELECT (i->>0)::integer, i->>1, i->>2, i->>3, COALESCE(i->>4, t.name),
            to_timestamp((i->>5)::double precision), i->>6
        FROM (SELECT v.items FROM playlist_versions v WHERE v.playlist_id = playlist AND v.read_at < moment
            ORDER BY v.read_at DESC LIMIT 1) l
        CROSS JOIN LATERAL jsonb_array_elements(l.items) i LEFT JOIN tracks t ON t.id = i->>2 ORDER BY 1;
    END $$""",
)


def upgrade() -> None:
    for function in AS_OF:
        op.execute(function)
    op.add_column("sync_history", sa.Column("calls_saved", sa.Integer(), nullable=True))
    op.add_column("apps", sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True))
    for table in ("artists", "albums"):
        op.create_index(
            f"ix_{table}_full", table, ["enriched_at", "id"], postgresql_where=sa.text("enrichment = 'full'")
        )


def downgrade() -> None:
    # The functions stay as they are: they need nothing of this revision, and go with the first one.
    for table in ("artists", "albums"):
        op.drop_index(f"ix_{table}_full", table_name=table)
    op.drop_column("apps", "refreshed_at")
    op.drop_column("sync_history", "calls_saved")
