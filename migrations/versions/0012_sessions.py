"""Remember the sessions of browsers that have logged out.

Revision: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_ended_sessions"),
        comment="Sessions of the page that were logged out, until they would have expired",
    )


def downgrade() -> None:
    op.drop_table("ended_sessions")
