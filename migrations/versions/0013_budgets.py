"""Budgets and pace per developer account, apps of accounts' own, and the rhythm of each listener.

Revision: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name in ("client_id", "client_secret", "developer"):
        op.add_column("accounts", sa.Column(name, sa.Text()))
    _allow_reasons("rate", "quota", "manual")
    op.add_column("sync_history", sa.Column("asked", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "budgets",
        sa.Column("developer", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("estimate", sa.Integer(), nullable=False),
        sa.Column("refused_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("developer", "family", name="pk_budgets"),
        sa.CheckConstraint(
            "family IN ('library', 'playlists', 'artists', 'albums', 'player', '*')", name="ck_budgets_family"
        ),
        comment="Calls per 24 hours that Spotify's last refusal for a quota allowed, by developer account and family",
    )
    op.create_table(
        "paces",
        sa.Column("developer", sa.Text(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("failed_rate", sa.Float()),
        sa.Column("changed_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("developer", name="pk_paces"),
        comment="The learned pace of each developer account, in requests per 30 seconds",
    )
    op.create_table(
        "rhythms",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("busy_hours", sa.Integer(), nullable=False),
        sa.Column("seconds_per_play", sa.Float()),
        sa.Column("active_at", TIME),
        sa.Column("known_since", TIME, nullable=False),
        sa.Column("updated_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_rhythms"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_rhythms_account_id_accounts", ondelete="CASCADE"
        ),
        comment="When each account listens and edits, from its own plays and changes; schedules are adapted to it",
    )


def downgrade() -> None:
    op.execute("DELETE FROM rate_limits WHERE reason = 'manual'")
    _allow_reasons("rate", "quota")
    for name in ("rhythms", "paces", "budgets"):
        op.drop_table(name)
    op.drop_column("sync_history", "asked")
    for name in ("developer", "client_secret", "client_id"):
        op.drop_column("accounts", name)


def _allow_reasons(*reasons: str) -> None:
    allowed = ", ".join(f"'{reason}'" for reason in reasons)
    op.execute("ALTER TABLE rate_limits DROP CONSTRAINT ck_rate_limits_reason")
    op.execute(f"ALTER TABLE rate_limits ADD CONSTRAINT ck_rate_limits_reason CHECK (reason IN ({allowed}))")
