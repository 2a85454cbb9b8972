"""Add up plays by hour too: where clocks differ from UTC by whole hours, statistics read a quarter of the rows.

Revision: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

HOUR = "date_bin('1 hour', slot, '2000-01-01 00:00+00')"
SUMS = f"SELECT account_id, {HOUR} AS hour, sum(plays) AS plays, sum(ms) AS ms"

# The rows of an account that is being removed are removed with it.
KEEP = f"""
CREATE FUNCTION keep_listening_hours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO listening_hours AS h (account_id, hour, plays, ms) {SUMS} FROM after GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (account_id, hour) DO UPDATE SET plays = h.plays + excluded.plays, ms = h.ms + excluded.ms;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE listening_hours h SET plays = h.plays + d.plays, ms = h.ms + d.ms FROM ({SUMS} FROM (
            SELECT account_id, slot, plays, ms FROM after
            UNION ALL SELECT account_id, slot, -plays, -ms FROM before) c GROUP BY 1, 2) d
        WHERE h.account_id = d.account_id AND h.hour = d.hour;
    ELSIF EXISTS (SELECT FROM before JOIN accounts a ON a.id = account_id) THEN
        UPDATE listening_hours h SET plays = h.plays - d.plays, ms = h.ms - d.ms
        FROM ({SUMS} FROM before GROUP BY 1, 2) d
        WHERE h.account_id = d.account_id AND h.hour = d.hour;
        DELETE FROM listening_hours h USING (SELECT DISTINCT account_id, {HOUR} AS hour FROM before) d
        WHERE h.account_id = d.account_id AND h.hour = d.hour AND NOT EXISTS (
            SELECT FROM listening_slots s WHERE s.account_id = h.account_id AND s.slot >= h.hour
            AND s.slot < h.hour + interval '1 hour');
    END IF;
    RETURN NULL;
END $$"""  # noqa: S608  # only constants

TRIGGERS = {
    "inserted": "AFTER INSERT ON listening_slots REFERENCING NEW TABLE AS after",
    "updated": "AFTER UPDATE ON listening_slots REFERENCING OLD TABLE AS before NEW TABLE AS after",
    "deleted": "AFTER DELETE ON listening_slots REFERENCING OLD TABLE AS before",
}


def upgrade() -> None:
    op.create_table(
        "listening_hours",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("plays", sa.Integer(), nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_listening_hours_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "hour", name=op.f("pk_listening_hours")),
        comment="Plays and milliseconds listened by hour; maintained by a trigger on listening_slots",
    )
    op.execute(KEEP)
    for name, event in TRIGGERS.items():
        trigger = f"CREATE TRIGGER keep_listening_hours_{name} {event}"
        op.execute(f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION keep_listening_hours()")
    op.execute(f"INSERT INTO listening_hours {SUMS} FROM listening_slots GROUP BY 1, 2")


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER keep_listening_hours_{name} ON listening_slots")
    op.execute("DROP FUNCTION keep_listening_hours()")
    op.drop_table("listening_hours")
