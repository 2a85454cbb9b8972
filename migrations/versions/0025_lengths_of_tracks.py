"""Add up the time listened anew when the length of a track changes: a play of unknown length counts as its track.

Revision: 0025
Revises: 0024
"""

from types import ModuleType

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


# Without it the sums kept the length of the time of the play, and became negative when such plays were replaced. A loop
# finds the sums by their keys, whatever Postgres thinks of the tables.
def _write_function(old: ModuleType) -> str:
    return f"""
CREATE FUNCTION keep_listening_lengths() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    longer bigint := COALESCE(NEW.duration_ms, 0) - COALESCE(OLD.duration_ms, 0);
    found record;
BEGIN
    FOR found IN SELECT h.account_id, {old.SLOT} AS slot, count(*) AS plays FROM play_history h
        WHERE h.track_id = NEW.id AND h.ms_played IS NULL GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        UPDATE listening_slots SET ms = ms + found.plays * longer
        WHERE account_id = found.account_id AND slot = found.slot;
        UPDATE listened_tracks SET ms = ms + found.plays * longer
        WHERE account_id = found.account_id AND track_id = NEW.id;
    END LOOP;
    RETURN NULL;
END $$"""


def _load(revision: str) -> ModuleType:
    script = op.get_context().script
    assert script is not None  # noqa: S101 (migrations run from their scripts)
    return script.get_revision(revision).module


def upgrade() -> None:
    old = _load("0020")
    op.execute("LOCK TABLE tracks, play_history IN SHARE ROW EXCLUSIVE MODE")
    # Many accounts can have played a track.
    op.create_index(
        "ix_play_history_unknown_length", "play_history", ["track_id"], postgresql_where=sa.text("ms_played IS NULL")
    )
    op.execute(_write_function(old))
    op.execute(
        """CREATE TRIGGER keep_listening_lengths AFTER UPDATE OF duration_ms ON tracks FOR EACH ROW
        WHEN (OLD.duration_ms IS DISTINCT FROM NEW.duration_ms) EXECUTE FUNCTION keep_listening_lengths()"""
    )
    # The triggers of listening_slots add up listening_hours.
    op.execute("DELETE FROM listening_slots")
    op.execute(f"INSERT INTO listening_slots {old._slots('play_history')}")
    op.execute("DELETE FROM listened_tracks")
    op.execute(f"INSERT INTO listened_tracks {old._tracks('play_history')}")


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_listening_lengths ON tracks")
    op.execute("DROP FUNCTION keep_listening_lengths()")
    op.drop_index("ix_play_history_unknown_length", "play_history")
