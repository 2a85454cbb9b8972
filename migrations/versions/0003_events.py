"""what happened in a run, and a word to whoever listens

Revision: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A row that changes in one of these is told, once a transaction; what changed is for the listener to read. Of some
# only these columns count: leases, tokens and places of patrols are nobody's news. A statement that finds no row to
# change tells nothing.
TOLD = {
    "accounts": "status, last_error, display_name, authorised_at",
    "sync_history": "status, phase, seq, claim, last_error, items_processed, api_calls, completed_at",
    "sync_state": None,
    "rate_limits": None,
    "playback": "read_at, last_error",
    "schedules": None,
}

# Runs that were there before their changes were counted.
COUNTED = """UPDATE sync_history r SET changes = c.changes FROM (
    SELECT run, jsonb_object_agg(what, rows) AS changes FROM (
        SELECT from_run AS run, 'added' AS what, count(*) AS rows FROM saved_spans GROUP BY 1
        UNION ALL SELECT to_run, 'removed', count(*) FROM saved_spans GROUP BY 1
        UNION ALL SELECT from_run, 'new', count(*) FROM playlist_spans GROUP BY 1
        UNION ALL SELECT to_run, 'gone', count(*) FROM playlist_spans GROUP BY 1
        UNION ALL SELECT v.sync_id, 'changed', count(*) FROM playlist_versions v WHERE NOT EXISTS (
            SELECT 1 FROM playlist_spans s WHERE s.playlist_id = v.playlist_id AND s.from_run = v.sync_id) GROUP BY 1
    ) counted WHERE run IS NOT NULL GROUP BY run) c
    WHERE r.id = c.run AND r.status IN ('success', 'failed', 'cancelled')"""
# When a list was last proved whole, as far as runs tell.
PROVED = """UPDATE accounts a SET {column} = (SELECT max(s.completed_at) FROM sync_state s
    JOIN sync_history r ON r.id = s.sync_id
    WHERE r.account_id = a.id AND r.sync_type = 'full' AND s.entity_type = '{phase}' AND s.status = 'success')"""


def upgrade() -> None:
    op.create_table(
        "run_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sync_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("family", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("items", sa.Integer(), nullable=True),
        sa.Column("calls", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('begun', 'batch', 'wait', 'parked', 'woken', 'retried', 'lost', 'resumed', 'put_off', 'success', "
            "'failed', 'cancelled')",
            name=op.f("ck_run_events_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["sync_id"], ["sync_history.id"], name=op.f("fk_run_events_sync_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_events")),
    )
    op.create_index(op.f("ix_run_events_sync_id_id"), "run_events", ["sync_id", "id"])
    op.add_column("accounts", sa.Column("tracks_proved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("accounts", sa.Column("playlists_proved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sync_history", sa.Column("changes", postgresql.JSONB(), nullable=True))
    op.execute(COUNTED)
    for phase in ("tracks", "playlists"):
        op.execute(PROVED.format(column=f"{phase}_proved_at", phase=phase))
    op.create_index("ix_sync_history_newest", "sync_history", ["account_id", "sync_type", sa.text("id DESC")])
    op.create_index(
        "ix_sync_history_changes",
        "sync_history",
        ["account_id", sa.text("id DESC")],
        postgresql_where=sa.text("changes IS NOT NULL"),
    )
    op.execute(
        """CREATE FUNCTION tell_status() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_notify('spotisync_status', ''); RETURN NULL; END $$"""
    )
    for table, columns in TOLD.items():
        update = f"UPDATE OF {columns}" if columns else "UPDATE"
        op.execute(
            f"""CREATE TRIGGER tell_status AFTER INSERT OR DELETE OR {update} ON {table}
            FOR EACH ROW EXECUTE FUNCTION tell_status()"""
        )


def downgrade() -> None:
    op.execute("DROP FUNCTION tell_status() CASCADE")
    op.drop_index("ix_sync_history_changes", table_name="sync_history")
    op.drop_index("ix_sync_history_newest", table_name="sync_history")
    op.drop_column("sync_history", "changes")
    op.drop_column("accounts", "playlists_proved_at")
    op.drop_column("accounts", "tracks_proved_at")
    op.drop_table("run_events")
