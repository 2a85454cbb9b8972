"""what happened in a run, and a word to whoever listens

Revision: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A statement that changes one of these says so, once a transaction; what changed is for the listener to read.
TOLD = ("accounts", "sync_history", "sync_state", "rate_limits", "playback", "schedules")


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
    # The last good run of a kind, from which the next one is forecast: among fifty thousand that is no small search.
    op.create_index(
        "ix_sync_history_success",
        "sync_history",
        ["account_id", "sync_type", sa.text("id DESC")],
        postgresql_where=sa.text("status = 'success'"),
    )
    op.execute(
        """CREATE FUNCTION tell_status() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_notify('spotisync_status', ''); RETURN NULL; END $$"""
    )
    for table in TOLD:
        op.execute(
            f"""CREATE TRIGGER tell_status AFTER INSERT OR UPDATE OR DELETE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION tell_status()"""
        )


def downgrade() -> None:
    op.execute("DROP FUNCTION tell_status() CASCADE")
    op.drop_index("ix_sync_history_success", table_name="sync_history")
    op.drop_table("run_events")
