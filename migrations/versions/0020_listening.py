"""Add up plays by quarter of an hour and by track, so that statistics need not read all plays.

Revision: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# As in the view `listening`: what Spotify counts as a play, and the time of a play whose length is unknown.
PLAYS = "count(*) FILTER (WHERE h.ms_played IS NULL OR h.ms_played >= 30000)"
MS = "COALESCE(sum(COALESCE(h.ms_played, t.duration_ms)), 0)"
# Every time zone differs from UTC by whole quarters of an hour.
SLOT = "date_bin('15 minutes', h.played_at, '2000-01-01 00:00+00')"


def _slots(source: str) -> str:
    return f"""SELECT h.account_id, {SLOT} AS slot, {PLAYS}, {MS} FROM {source} h JOIN tracks t ON t.id = h.track_id
        GROUP BY 1, 2 ORDER BY 1, 2"""


def _tracks(source: str) -> str:
    return f"""SELECT h.account_id, h.track_id, {PLAYS}, {MS}, min(h.played_at), max(h.played_at)
        FROM {source} h JOIN tracks t ON t.id = h.track_id GROUP BY 1, 2 ORDER BY 1, 2"""


# What an UPDATE or DELETE touches is added up again, unless the account is being removed. Both are rare: only the time
# of a play that was reported twice changes.
KEEP = f"""
CREATE FUNCTION keep_listening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO listening_slots AS s (account_id, slot, plays, ms) {_slots("after")}
        ON CONFLICT (account_id, slot) DO UPDATE SET plays = s.plays + excluded.plays, ms = s.ms + excluded.ms;
        INSERT INTO listened_tracks AS s (account_id, track_id, plays, ms, first_at, last_at) {_tracks("after")}
        ON CONFLICT (account_id, track_id) DO UPDATE SET plays = s.plays + excluded.plays, ms = s.ms + excluded.ms,
            first_at = LEAST(s.first_at, excluded.first_at), last_at = GREATEST(s.last_at, excluded.last_at);
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO listening_slots SELECT DISTINCT h.account_id, {SLOT}, 0, 0 FROM after h ON CONFLICT DO NOTHING;
        INSERT INTO listened_tracks SELECT h.account_id, h.track_id, 0, 0, min(h.played_at), max(h.played_at)
        FROM after h GROUP BY 1, 2 ON CONFLICT DO NOTHING;
    END IF;
    PERFORM add_up_listening(
        ARRAY(SELECT DISTINCT h.account_id FROM before h),
        ARRAY(SELECT {SLOT} FROM before h), ARRAY(SELECT h.track_id FROM before h));
    IF TG_OP = 'UPDATE' THEN
        PERFORM add_up_listening(
            ARRAY(SELECT DISTINCT h.account_id FROM after h),
            ARRAY(SELECT {SLOT} FROM after h), ARRAY(SELECT h.track_id FROM after h));
    END IF;
    RETURN NULL;
END $$"""

# The lateral queries make Postgres use the indexes, whatever it thinks of the tables.
ADD_UP = f"""
CREATE FUNCTION add_up_listening(owners bigint[], slots timestamptz[], played text[]) RETURNS void LANGUAGE sql AS $$
    WITH accounts_left AS (SELECT id FROM accounts WHERE id = ANY(owners)),
    summed AS (
        SELECT s.account_id, s.slot, n.plays, n.ms FROM listening_slots s CROSS JOIN LATERAL (
            SELECT {PLAYS} AS plays, {MS} AS ms, count(*) AS rows FROM play_history h JOIN tracks t ON t.id = h.track_id
            WHERE h.account_id = s.account_id AND h.played_at >= s.slot
            AND h.played_at < s.slot + interval '15 minutes') n
        WHERE s.account_id IN (SELECT id FROM accounts_left) AND s.slot = ANY(slots))
    UPDATE listening_slots s SET plays = n.plays, ms = n.ms FROM summed n
    WHERE s.account_id = n.account_id AND s.slot = n.slot;
    WITH accounts_left AS (SELECT id FROM accounts WHERE id = ANY(owners)),
    summed AS (
        SELECT s.account_id, s.track_id, n.* FROM listened_tracks s CROSS JOIN LATERAL (
            SELECT {PLAYS} AS plays, {MS} AS ms, min(h.played_at) AS first_at, max(h.played_at) AS last_at
            FROM play_history h JOIN tracks t ON t.id = h.track_id
            WHERE h.account_id = s.account_id AND h.track_id = s.track_id) n
        WHERE s.account_id IN (SELECT id FROM accounts_left) AND s.track_id = ANY(played)),
    emptied AS (
        DELETE FROM listened_tracks s USING summed n
        WHERE s.account_id = n.account_id AND s.track_id = n.track_id AND n.first_at IS NULL)
    UPDATE listened_tracks s SET plays = n.plays, ms = n.ms, first_at = n.first_at, last_at = n.last_at FROM summed n
    WHERE s.account_id = n.account_id AND s.track_id = n.track_id AND n.first_at IS NOT NULL;
    DELETE FROM listening_slots s WHERE s.account_id = ANY(owners) AND s.slot = ANY(slots) AND NOT EXISTS (
        SELECT FROM play_history h WHERE h.account_id = s.account_id AND h.played_at >= s.slot
        AND h.played_at < s.slot + interval '15 minutes')
$$"""

TRIGGERS = {
    "inserted": "AFTER INSERT ON play_history REFERENCING NEW TABLE AS after",
    "updated": "AFTER UPDATE ON play_history REFERENCING OLD TABLE AS before NEW TABLE AS after",
    "deleted": "AFTER DELETE ON play_history REFERENCING OLD TABLE AS before",
}


def upgrade() -> None:
    op.create_table(
        "listening_slots",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("plays", sa.Integer(), nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_listening_slots_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "slot", name=op.f("pk_listening_slots")),
        comment="Plays and milliseconds listened by quarter of an hour; maintained by a trigger on play_history",
    )
    op.create_table(
        "listened_tracks",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("track_id", sa.Text(), nullable=False),
        sa.Column("plays", sa.Integer(), nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_listened_tracks_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "track_id", name=op.f("pk_listened_tracks")),
        comment="Plays of each track; maintained by a trigger on play_history",
    )
    op.create_index("ix_play_history_track", "play_history", ["account_id", "track_id", "played_at"])
    op.execute(ADD_UP)
    op.execute(KEEP)
    for name, event in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER keep_listening_{name} {event} FOR EACH STATEMENT EXECUTE FUNCTION keep_listening()")
    op.execute(f"INSERT INTO listening_slots {_slots('play_history')}")
    op.execute(f"INSERT INTO listened_tracks {_tracks('play_history')}")


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER keep_listening_{name} ON play_history")
    op.execute("DROP FUNCTION keep_listening()")
    op.execute("DROP FUNCTION add_up_listening(bigint[], timestamptz[], text[])")
    op.drop_index("ix_play_history_track", "play_history")
    op.drop_table("listened_tracks")
    op.drop_table("listening_slots")
