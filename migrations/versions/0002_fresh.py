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


def upgrade() -> None:
    op.add_column("sync_history", sa.Column("calls_saved", sa.Integer(), nullable=True))
    op.add_column("apps", sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True))
    for table in ("artists", "albums"):
        op.create_index(
            f"ix_{table}_full", table, ["enriched_at", "id"], postgresql_where=sa.text("enrichment = 'full'")
        )


def downgrade() -> None:
    for table in ("artists", "albums"):
        op.drop_index(f"ix_{table}_full", table_name=table)
    op.drop_column("apps", "refreshed_at")
    op.drop_column("sync_history", "calls_saved")
