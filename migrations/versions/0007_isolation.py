"""Defer what can't be read, with a reason and a growing distance; hold mass removals; stage saved tracks by date.

Revision: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LISTS = "'followed_artists', 'saved_albums', 'playlists'"
NULLS_OF_RESTRICTED_APPS = ("restricted_null_rows", "restricted_idle_null_rows")
STATUSES = "'pending', 'synced', 'forbidden', 'not_found'"


def upgrade() -> None:
    _allow("account_playlists", "items_status", f"{STATUSES}, 'deferred'")
    op.add_column("account_playlists", sa.Column("deferred_reason", sa.Text(), nullable=True))
    op.add_column("account_playlists", sa.Column("deferred_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("account_playlists", _counter("deferrals"))
    op.add_column("account_playlists", sa.Column("listed_regime", sa.Text(), nullable=True))
    op.add_column("playlists", sa.Column("phantom_items", sa.Integer(), nullable=True))
    _allow("listings", "list", f"'saved_tracks', {LISTS}")
    op.add_column("listings", sa.Column("deferred_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("listings", _counter("deferrals"))
    op.add_column("listings", _flag("unread"))
    op.add_column("listings", sa.Column("held_rows", sa.Integer(), nullable=True))
    op.add_column("listings", sa.Column("held_sync_id", sa.BigInteger(), nullable=True))
    op.add_column("listings", _flag("removal_confirmed"))
    for column in NULLS_OF_RESTRICTED_APPS:
        op.add_column("listings", sa.Column(column, sa.Integer(), nullable=True))
    _stage_dates()


def downgrade() -> None:
    op.execute(
        """DELETE FROM seen_tracks s USING seen_tracks o
        WHERE o.sync_id = s.sync_id AND o.track_id = s.track_id AND o.added_at > s.added_at"""
    )
    _set_key("sync_id, track_id")
    op.drop_column("seen_tracks", "added_at")
    for column in (*NULLS_OF_RESTRICTED_APPS, "removal_confirmed", "held_sync_id", "held_rows", "unread", "deferrals", "deferred_until"):
        op.drop_column("listings", column)
    op.execute("DELETE FROM listings WHERE list = 'saved_tracks'")
    _allow("listings", "list", LISTS)
    op.drop_column("playlists", "phantom_items")
    for column in ("listed_regime", "deferrals", "deferred_until", "deferred_reason"):
        op.drop_column("account_playlists", column)
    op.execute("UPDATE account_playlists SET items_status = 'pending' WHERE items_status = 'deferred'")
    _allow("account_playlists", "items_status", STATUSES)


def _counter(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)


def _allow(table: str, column: str, values: str) -> None:
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{column} CHECK ({column} IN ({values}))")


def _stage_dates() -> None:
    """Add the date to the staged rows of walks, so that a track that is listed twice counts twice."""
    op.execute("ALTER TABLE seen_tracks ADD COLUMN added_at timestamptz NOT NULL DEFAULT 'epoch'")
    op.execute(
        """UPDATE seen_tracks m SET added_at = s.added_at FROM sync_history r, saved_tracks s
        WHERE r.id = m.sync_id AND s.account_id = r.account_id AND s.track_id = m.track_id"""
    )
    op.execute("ALTER TABLE seen_tracks ALTER COLUMN added_at DROP DEFAULT")
    _set_key("sync_id, track_id, added_at")


def _set_key(columns: str) -> None:
    op.execute(
        f"""ALTER TABLE seen_tracks DROP CONSTRAINT pk_seen_tracks,
        ADD CONSTRAINT pk_seen_tracks PRIMARY KEY ({columns})"""
    )
