"""Index what is deleted when it is old; count failed answers to a caller, and record those that are given up.

Revision: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SPANS = ("saved_spans", "playlist_spans")
UNANSWERED = sa.text("answered_at IS NULL")


def upgrade() -> None:
    op.add_column("waiters", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("waiters", sa.Column("unanswerable", sa.Text(), nullable=True))
    op.drop_index("ix_waiters_unanswered", table_name="waiters")
    op.create_index("ix_waiters_sync_id", "waiters", ["sync_id"])
    op.create_index("ix_waiters_due", "waiters", ["wake_at"], postgresql_where=UNANSWERED)
    op.create_index("ix_sync_history_completed_at", "sync_history", ["account_id", "completed_at"])
    for table in SPANS:
        ended = sa.text("to_at IS NOT NULL")
        op.create_index(f"ix_{table}_ended", table, ["account_id", "to_at"], postgresql_where=ended)


def downgrade() -> None:
    for table in SPANS:
        op.drop_index(f"ix_{table}_ended", table_name=table)
    op.drop_index("ix_sync_history_completed_at", table_name="sync_history")
    op.drop_index("ix_waiters_due", table_name="waiters")
    op.drop_index("ix_waiters_sync_id", table_name="waiters")
    op.create_index("ix_waiters_unanswered", "waiters", ["sync_id"], postgresql_where=UNANSWERED)
    op.drop_column("waiters", "unanswerable")
    op.drop_column("waiters", "failures")
