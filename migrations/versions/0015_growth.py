"""Keep the cost of commits and of notifications constant while rows grow.

Commits that notify wait for each other until each is flushed, so viewers now look for changes themselves.

Revision: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# As in migration 0003.
TOLD = {
    "accounts": "status, last_error, display_name, authorised_at",
    "sync_history": "status, phase, seq, claim, last_error, items_processed, api_calls, completed_at",
    "sync_state": None,
    "rate_limits": None,
    "playback": "read_at, last_error",
    "schedules": None,
}
INDEXES = {
    "ix_sync_history_failed": ("sync_history", ["completed_at"], "status = 'failed'"),
    "ix_notices_open": ("notices", ["account_id"], "over_at IS NULL AND kind <> 'over'"),
    "ix_notices_due": ("notices", ["made_at", "key"], "told_at IS NULL"),
    "ix_call_ledger_detail": ("call_ledger", ["minute"], "account_id <> 0"),
    # For the removal of an account: the existing indexes of these tables are partial.
    "ix_playback_gaps_account_id": ("playback_gaps", ["account_id"], None),
    "ix_playlist_spans_account_id": ("playlist_spans", ["account_id"], None),
}


def upgrade() -> None:
    for table in TOLD:
        op.execute(f"DROP TRIGGER tell_status ON {table}")
    op.execute("DROP FUNCTION tell_status()")
    for name, (table, columns, where) in INDEXES.items():
        op.create_index(name, table, columns, postgresql_where=sa.text(where) if where else None)


def downgrade() -> None:
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
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
