"""Keep the last reading of the list of playlists with those of the other lists.

Revision: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

RENAMED = {
    "put_off": "deferred",
    "put_off_sync_id": "deferred_sync_id",
    "put_off_reason": "deferred_reason",
}
PLAYLISTS = ("null_playlists", "idle_null_playlists", "playlists_proved_at")


def upgrade() -> None:
    op.rename_table("saved_lists", "listings")
    for old, new in RENAMED.items():
        op.alter_column("listings", old, new_column_name=new)
    _rename_constraints("saved_lists", "listings")
    _allow_lists("followed_artists", "saved_albums", "playlists")
    op.execute(
        """INSERT INTO listings (account_id, list, total, first_page, read_at, null_rows, idle_null_rows)
        SELECT a.id, 'playlists', (SELECT count(*) FROM account_playlists p
                WHERE p.account_id = a.id AND p.removed_at IS NULL), '', COALESCE(a.playlists_proved_at, now()),
            a.null_playlists, COALESCE(a.idle_null_playlists, a.null_playlists)
        FROM accounts a WHERE a.null_playlists IS NOT NULL"""
    )
    for column in PLAYLISTS:
        op.drop_column("accounts", column)
    op.create_table_comment(
        "listings", "The last proved reading of each list that is read whole, and what a run left of it to a later one"
    )


def downgrade() -> None:
    op.add_column("accounts", sa.Column("null_playlists", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("idle_null_playlists", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("playlists_proved_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        """UPDATE accounts a SET null_playlists = l.null_rows, idle_null_playlists = l.idle_null_rows,
            playlists_proved_at = l.read_at
        FROM listings l WHERE l.account_id = a.id AND l.list = 'playlists' AND l.read_at IS NOT NULL"""
    )
    op.execute("DELETE FROM listings WHERE list = 'playlists'")
    _allow_lists("saved_albums", "followed_artists")
    _rename_constraints("listings", "saved_lists")
    for old, new in RENAMED.items():
        op.alter_column("listings", new, new_column_name=old)
    op.rename_table("listings", "saved_lists")


def _allow_lists(*names: str) -> None:
    allowed = ", ".join(f"'{name}'" for name in names)
    op.execute("ALTER TABLE listings DROP CONSTRAINT ck_listings_list")
    op.execute(f"ALTER TABLE listings ADD CONSTRAINT ck_listings_list CHECK (list IN ({allowed}))")


def _rename_constraints(old: str, new: str) -> None:
    for constraint in (f"pk_{old}", f"ck_{old}_list", f"fk_{old}_account_id"):
        op.execute(f"ALTER TABLE listings RENAME CONSTRAINT {constraint} TO {constraint.replace(old, new)}")
