"""Record the shape of Spotify's replies and alarms when it changes; count contrary replies before a regime flips.

Revision: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KINDS = "'failed', 'needs_login', 'login_ends', 'waiting', 'stuck', 'over'"
TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.add_column("apps", sa.Column("contrary_replies", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "reply_shapes",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("first_seen_at", TIME, server_default=NOW, nullable=False),
        sa.Column("last_seen_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("client_id", "endpoint", "key", name=op.f("pk_reply_shapes")),
        comment="Keys of Spotify's replies by endpoint; the last time is exact to a day",
    )
    op.create_table(
        "reply_statuses",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("status", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("replies", sa.Integer(), nullable=False),
        sa.Column("last_at", TIME, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "endpoint", "day", "status", name=op.f("pk_reply_statuses")),
        comment="Spotify's replies of the last 30 days by endpoint, day (UTC) and HTTP status",
    )
    op.create_table(
        "drift_alarms",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since", TIME, server_default=NOW, nullable=False),
        sa.Column("last_seen_at", TIME, server_default=NOW, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("accepted_at", TIME, nullable=True),
        sa.CheckConstraint("kind IN ('missing_key', 'status', 'regime')", name=op.f("ck_drift_alarms_kind")),
        sa.PrimaryKeyConstraint("client_id", "endpoint", "key", name=op.f("pk_drift_alarms")),
        comment="Changes of Spotify's replies: needed keys that are missing, unknown statuses, changes of the regime",
    )
    _allow_notices(f"{KINDS}, 'drift'")


def downgrade() -> None:
    op.execute("DELETE FROM notices WHERE kind = 'drift' OR key LIKE 'over:drift:%'")
    _allow_notices(KINDS)
    op.drop_table("drift_alarms")
    op.drop_table("reply_statuses")
    op.drop_table("reply_shapes")
    op.drop_column("apps", "contrary_replies")


def _allow_notices(kinds: str) -> None:
    op.execute("ALTER TABLE notices DROP CONSTRAINT ck_notices_kind")
    op.execute(f"ALTER TABLE notices ADD CONSTRAINT ck_notices_kind CHECK (kind IN ({kinds}))")
