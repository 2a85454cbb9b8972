"""Add up the time listened anew when the length of a track changes: a play of unknown length counts as its track.

Revision: 0025
Revises: 0024
"""

from types import ModuleType

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


# Without it the sums kept the length of the time of the play, and became negative when such plays were replaced. The
# lateral queries read the plays of the track by the index, account by account.
def _write_function(old: ModuleType) -> str:
    plays = """FROM accounts a CROSS JOIN LATERAL (SELECT {} FROM play_history h
            WHERE h.account_id = a.id AND h.track_id = NEW.id AND h.ms_played IS NULL {} OFFSET 0) n"""
    return f"""
CREATE FUNCTION keep_listening_lengths() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    longer bigint := COALESCE(NEW.duration_ms, 0) - COALESCE(OLD.duration_ms, 0);
BEGIN
    UPDATE listened_tracks s SET ms = s.ms + o.plays * longer
    FROM (SELECT a.id, n.plays {plays.format("count(*) AS plays", "")}) o
    WHERE s.account_id = o.id AND s.track_id = NEW.id AND o.plays > 0;
    UPDATE listening_slots s SET ms = s.ms + o.plays * longer
    FROM (SELECT a.id, n.* {plays.format(f"{old.SLOT} AS slot, count(*) AS plays", "GROUP BY 1")}) o
    WHERE s.account_id = o.id AND s.slot = o.slot;
    RETURN NULL;
END $$"""


def _load(revision: str) -> ModuleType:
    script = op.get_context().script
    assert script is not None  # noqa: S101 (migrations run from their scripts)
    return script.get_revision(revision).module


def upgrade() -> None:
    old = _load("0020")
    op.execute("LOCK TABLE tracks, play_history IN SHARE ROW EXCLUSIVE MODE")
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
