"""Vacuum the tables that grow in smaller steps; drop an index and a foreign key that nothing needs.

The reasons and measurements are in docs/decisions/0010-partitions.md. Other sessions keep reading and writing: the
settings block neither, and the index is dropped at once.

Revision: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

GROWING = ("sync_history", "sync_state", "run_events", "play_history", "saved_tracks", "saved_spans")
SETTINGS = (
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_insert_scale_factor",
    "autovacuum_analyze_scale_factor",
)


def upgrade() -> None:
    values = ", ".join(f"{name} = 0.05" for name in SETTINGS)
    for table in GROWING:
        op.execute(f"ALTER TABLE {table} SET ({values})")
    # Tracks are never deleted, and history is read by account or by run. A trigger writes the spans, with ids that the
    # foreign key of saved_tracks has checked.
    op.drop_index("ix_saved_spans_track_id", table_name="saved_spans")
    op.drop_constraint("fk_saved_spans_track_id", "saved_spans")


def downgrade() -> None:
    op.create_foreign_key("fk_saved_spans_track_id", "saved_spans", "tracks", ["track_id"], ["id"], ondelete="CASCADE")
    op.create_index("ix_saved_spans_track_id", "saved_spans", ["track_id"])
    for table in GROWING:
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(SETTINGS)})")
