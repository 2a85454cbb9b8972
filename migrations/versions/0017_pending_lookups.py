"""List the look-ups of each run.

Revision: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pending_lookups",
        sa.Column("sync_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sync_id"], ["sync_history.id"], name=op.f("fk_pending_lookups_sync_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sync_id", "entity", "position", name=op.f("pk_pending_lookups")),
        comment="Staging: stubs that a run's account has and the run looks up, in this order",
    )


def downgrade() -> None:
    op.drop_table("pending_lookups")
