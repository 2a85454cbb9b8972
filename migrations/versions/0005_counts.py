"""what is counted for who runs it, and who was told

Revision: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Why is not in the event: a cooldown that stands has its reason, and without one it is our own pace.
WAITED = """INSERT INTO tallies SELECT v.name, ARRAY[NEW.family, w.reason], v.value
    FROM (SELECT COALESCE((SELECT l.reason FROM rate_limits l WHERE l.family IN (NEW.family, '*')
        AND l.blocked_until > clock_timestamp() ORDER BY l.blocked_until DESC LIMIT 1), 'pace') AS reason) w,
    (VALUES ('waits', {waits}), ('wait_seconds', {seconds})) AS v(name, value);"""
# Each is counted where the state changes, in the same transaction: whoever writes it can't forget to, and what is
# rolled back was never counted. Rows are only ever added, so that no two transactions wait for each other.
COUNTING = {
    "tally_begun": (
        "AFTER INSERT ON sync_history FOR EACH ROW",
        "INSERT INTO tallies VALUES ('runs_started', ARRAY[NEW.sync_type, NEW.trigger], 1);",
    ),
    "tally_ended": (
        """AFTER UPDATE OF status ON sync_history FOR EACH ROW
        WHEN (OLD.status <> NEW.status AND NEW.status IN ('success', 'failed', 'cancelled'))""",
        "INSERT INTO tallies VALUES ('runs', ARRAY[NEW.sync_type, NEW.status], 1);",
    ),
    # A claim that goes without an advance, a release or an end: its worker was gone, or too slow.
    "tally_lost": (
        """AFTER UPDATE OF claim ON sync_history FOR EACH ROW
        WHEN (OLD.claim IS NOT NULL AND NEW.claim IS DISTINCT FROM OLD.claim AND NEW.attempts > 0
            AND NEW.completed_at IS NULL)""",
        "INSERT INTO tallies VALUES ('lost_batches', ARRAY[OLD.phase], 1);",
    ),
    "tally_advance": (
        """AFTER UPDATE ON sync_state FOR EACH ROW
        WHEN (NEW.batches > OLD.batches OR NEW.failures > OLD.failures OR NEW.items_processed > OLD.items_processed
            OR NEW.items_added > OLD.items_added OR NEW.items_updated > OLD.items_updated
            OR NEW.items_removed > OLD.items_removed)""",
        """INSERT INTO tallies SELECT v.name, v.labels, v.value FROM (VALUES
            ('batches', ARRAY[NEW.entity_type], NEW.batches - OLD.batches),
            ('retries', ARRAY[NEW.entity_type], NEW.failures - OLD.failures),
            ('items', ARRAY[NEW.entity_type, 'processed'], NEW.items_processed - OLD.items_processed),
            ('items', ARRAY[NEW.entity_type, 'added'], NEW.items_added - OLD.items_added),
            ('items', ARRAY[NEW.entity_type, 'updated'], NEW.items_updated - OLD.items_updated),
            ('items', ARRAY[NEW.entity_type, 'removed'], NEW.items_removed - OLD.items_removed)
        ) AS v(name, labels, value) WHERE v.value > 0;""",
    ),
    "tally_wait": (
        "AFTER INSERT ON run_events FOR EACH ROW WHEN (NEW.kind IN ('wait', 'parked') AND NEW.family IS NOT NULL)",
        WAITED.format(waits="1", seconds="COALESCE(NEW.seconds, 0)"),
    ),
    # Waits of one batch, one after the other, are one event that lasts longer.
    "tally_longer_wait": (
        """AFTER UPDATE OF seconds ON run_events FOR EACH ROW
        WHEN (NEW.kind = 'wait' AND NEW.family IS NOT NULL AND NEW.attempt > OLD.attempt)""",
        WAITED.format(waits="NEW.attempt - OLD.attempt", seconds="NEW.seconds - OLD.seconds"),
    ),
    "tally_plays": (
        "AFTER INSERT ON play_history REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
        "INSERT INTO tallies SELECT 'plays', ARRAY[source], count(*) FROM added GROUP BY source;",
    ),
}
# What there is already, so that the totals equal the tables from the beginning.
SO_FAR = (
    "SELECT 'runs_started', ARRAY[sync_type, trigger], count(*) FROM sync_history GROUP BY 2",
    """SELECT 'runs', ARRAY[sync_type, status], count(*) FROM sync_history
    WHERE status IN ('success', 'failed', 'cancelled') GROUP BY 2""",
    "SELECT 'batches', ARRAY[entity_type], sum(batches) FROM sync_state GROUP BY 2",
    "SELECT 'plays', ARRAY[source], count(*) FROM play_history GROUP BY 2",
    *(
        f"SELECT 'items', ARRAY[entity_type, '{change}'], sum(items_{change}) FROM sync_state GROUP BY 2"
        for change in ("processed", "added", "updated", "removed")
    ),
)


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        comment="What has been counted, a row for each time; a total is their sum, and sweep folds them into fewer",
    )
    for statement in SO_FAR:
        op.execute(f"INSERT INTO tallies {statement}")
    for name, (when, what) in COUNTING.items():
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what} RETURN NULL; END $$")
        op.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}()")
    op.create_table(
        "notices",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("sync_id", sa.BigInteger(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("wake_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("told_to", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("over_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('failed', 'needs_login', 'login_ends', 'waiting', 'stuck', 'over')", name=op.f("ck_notices_kind")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_notices_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["sync_id"], ["sync_history.id"], name=op.f("fk_notices_sync_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_notices")),
        comment="What a person was told, or is to be told: each once",
    )
    op.create_index("ix_notices_account_id", "notices", ["account_id"])
    op.create_index("ix_notices_sync_id", "notices", ["sync_id"])


def downgrade() -> None:
    op.drop_table("notices")
    for name in COUNTING:
        op.execute(f"DROP FUNCTION IF EXISTS {name}() CASCADE")
    op.drop_table("tallies")
