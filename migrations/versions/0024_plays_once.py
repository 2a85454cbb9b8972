"""Count each play once: a statement that inserted some plays and updated others counted the inserted ones twice.

Revision: 0024
Revises: 0023
"""

from types import ModuleType

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


# Differences only: one INSERT … ON CONFLICT DO UPDATE runs the triggers of both kinds, and each sees the rows of the
# other. The rows of an account that is being removed are removed with it.
def _write_function(old: ModuleType) -> str:
    return f"""
CREATE OR REPLACE FUNCTION keep_listening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        IF NOT EXISTS (SELECT FROM before h JOIN accounts a ON a.id = h.account_id) THEN
            RETURN NULL;
        END IF;
        UPDATE listening_slots s SET plays = s.plays - o.plays, ms = s.ms - o.ms
        FROM ({old._slots("before")}) o(account_id, slot, plays, ms)
        WHERE s.account_id = o.account_id AND s.slot = o.slot;
        UPDATE listened_tracks s SET plays = s.plays - o.plays, ms = s.ms - o.ms
        FROM ({old._tracks("before")}) o(account_id, track_id, plays, ms)
        WHERE s.account_id = o.account_id AND s.track_id = o.track_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO listening_slots AS s (account_id, slot, plays, ms) {old._slots("after")}
        ON CONFLICT (account_id, slot) DO UPDATE SET plays = s.plays + excluded.plays, ms = s.ms + excluded.ms;
        INSERT INTO listened_tracks AS s (account_id, track_id, plays, ms, first_at, last_at) {old._tracks("after")}
        ON CONFLICT (account_id, track_id) DO UPDATE SET plays = s.plays + excluded.plays, ms = s.ms + excluded.ms,
            first_at = LEAST(s.first_at, excluded.first_at), last_at = GREATEST(s.last_at, excluded.last_at);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        -- The lateral queries make Postgres use the indexes, whatever it thinks of the tables.
        DELETE FROM listening_slots s USING (SELECT DISTINCT h.account_id, {old.SLOT} AS slot FROM before h) o
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


def _load_0020() -> ModuleType:
    script = op.get_context().script
    assert script is not None  # noqa: S101 (migrations run from their scripts)
    return script.get_revision("0020").module


def upgrade() -> None:
    old = _load_0020()
    op.execute("LOCK TABLE play_history IN SHARE ROW EXCLUSIVE MODE")
    op.execute(_write_function(old))
    op.execute("DROP FUNCTION add_up_listening(bigint[], timestamptz[], text[])")
    # The triggers of listening_slots add up listening_hours.
    op.execute("DELETE FROM listening_slots")
    op.execute(f"INSERT INTO listening_slots {old._slots('play_history')}")
    op.execute("DELETE FROM listened_tracks")
    op.execute(f"INSERT INTO listened_tracks {old._tracks('play_history')}")


def downgrade() -> None:
    old = _load_0020()
    op.execute(old.ADD_UP)
    op.execute(old.KEEP.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
