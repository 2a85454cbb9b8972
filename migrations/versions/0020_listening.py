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


# Differences only: one INSERT … ON CONFLICT DO UPDATE runs the triggers of both kinds, and each sees the rows of the
# other. The rows of an account that is being removed are removed with it.
KEEP = f"""
CREATE FUNCTION keep_listening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        IF NOT EXISTS (SELECT FROM before h JOIN accounts a ON a.id = h.account_id) THEN
            RETURN NULL;
        END IF;
        UPDATE listening_slots s SET plays = s.plays - o.plays, ms = s.ms - o.ms
        FROM ({_slots("before")}) o(account_id, slot, plays, ms) WHERE s.account_id = o.account_id AND s.slot = o.slot;
        UPDATE listened_tracks s SET plays = s.plays - o.plays, ms = s.ms - o.ms
        FROM ({_tracks("before")}) o(account_id, track_id, plays, ms)
        WHERE s.account_id = o.account_id AND s.track_id = o.track_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO listening_slots AS s (account_id, slot, plays, ms) {_slots("after")}
        ON CONFLICT (account_id, slot) DO UPDATE SET plays = s.plays + excluded.plays, ms = s.ms + excluded.ms;
        INSERT INTO listened_tracks AS s (account_id, track_id, plays, ms, first_at, last_at) {_tracks("after")}
        ON CONFLICT (account_id, track_id) DO UPDATE SET plays = s.plays + excluded.plays, ms = s.ms + excluded.ms,
            first_at = LEAST(s.first_at, excluded.first_at), last_at = GREATEST(s.last_at, excluded.last_at);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        -- The lateral queries make Postgres use the indexes, whatever it thinks of the tables.
        DELETE FROM listening_slots s USING (SELECT DISTINCT h.account_id, {SLOT} AS slot FROM before h) o
        WHERE s.account_id = o.account_id AND s.slot = o.slot AND NOT EXISTS (SELECT FROM play_history h
            WHERE h.account_id = o.account_id AND h.played_at >= o.slot
            AND h.played_at < o.slot + interval '15 minutes' OFFSET 0);
        UPDATE listened_tracks s SET first_at = n.first_at, last_at = n.last_at
        FROM (SELECT DISTINCT account_id, track_id FROM before) o CROSS JOIN LATERAL (
            SELECT min(h.played_at) AS first_at, max(h.played_at) AS last_at FROM play_history h
            WHERE h.account_id = o.account_id AND h.track_id = o.track_id) n
        WHERE s.account_id = o.account_id AND s.track_id = o.track_id AND n.first_at IS NOT NULL;
        DELETE FROM listened_tracks s USING (SELECT DISTINCT account_id, track_id FROM before) o
        WHERE s.account_id = o.account_id AND s.track_id = o.track_id AND NOT EXISTS (SELECT FROM play_history h
            WHERE h.account_id = o.account_id AND h.track_id = o.track_id OFFSET 0);
    END IF;
    RETURN NULL;
END $$"""

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
    op.execute(KEEP)
    for name, event in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER keep_listening_{name} {event} FOR EACH STATEMENT EXECUTE FUNCTION keep_listening()")
    op.execute(f"INSERT INTO listening_slots {_slots('play_history')}")
    op.execute(f"INSERT INTO listened_tracks {_tracks('play_history')}")


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER keep_listening_{name} ON play_history")
    op.execute("DROP FUNCTION keep_listening()")
    op.drop_index("ix_play_history_track", "play_history")
    op.drop_table("listened_tracks")
    op.drop_table("listening_slots")
