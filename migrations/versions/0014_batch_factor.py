"""Let batches grow while they are quick.

Revision: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sync_state", sa.Column("batch_factor", sa.Integer(), server_default="1", nullable=False))


def downgrade() -> None:
    op.drop_column("sync_state", "batch_factor")
