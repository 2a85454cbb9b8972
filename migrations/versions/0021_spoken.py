"""Store saved shows, episodes and audiobooks, and snapshots of top artists and tracks.

Revision: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

LISTS = ("saved_tracks", "followed_artists", "saved_albums", "playlists")
SPOKEN = {"saved_shows": "shows", "saved_episodes": "episodes", "saved_audiobooks": "audiobooks"}
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_catalogue()
    for name, kind in SPOKEN.items():
        _create_list(name, kind)
    op.add_column("listings", sa.Column("attempted_at", TIME, nullable=True))
    _allow_lists(*LISTS, *SPOKEN)
    _create_top_items()


def downgrade() -> None:
    op.drop_column("playback", "top_items_due_at")
    op.drop_table("top_items")
    op.execute("DELETE FROM listings WHERE list IN ('saved_shows', 'saved_episodes', 'saved_audiobooks')")
    _allow_lists(*LISTS)
    op.drop_column("listings", "attempted_at")
    for name in (*SPOKEN, "audiobooks", "episodes", "shows"):
        op.drop_table(name)


def _create_catalogue() -> None:
    op.create_table(
        "shows",
        *_named(),
        sa.Column("publisher", sa.Text(), nullable=True),
        sa.Column("total_episodes", sa.Integer(), nullable=True),
        sa.Column("explicit", sa.Boolean(), nullable=True),
        sa.Column("languages", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("is_audiobook", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shows")),
        comment="Podcasts, and audiobooks that Spotify lists among them",
    )
    op.create_table(
        "episodes",
        *_named(),
        sa.Column("show_id", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("explicit", sa.Boolean(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("release_date", sa.Text(), nullable=True),
        sa.Column("release_date_precision", sa.Text(), nullable=True),
        sa.Column("released_on", sa.Date(), nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["show_id"], ["shows.id"], name=op.f("fk_episodes_show_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_episodes")),
    )
    op.create_index(op.f("ix_episodes_show_id"), "episodes", ["show_id"])
    op.create_table(
        "audiobooks",
        *_named(),
        sa.Column("authors", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("narrators", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("publisher", sa.Text(), nullable=True),
        sa.Column("edition", sa.Text(), nullable=True),
        sa.Column("total_chapters", sa.Integer(), nullable=True),
        sa.Column("explicit", sa.Boolean(), nullable=True),
        sa.Column("languages", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audiobooks")),
    )


def _named() -> tuple[sa.Column, ...]:
    return (
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("uri", sa.Text(), nullable=False),
    )


def _create_list(name: str, kind: str) -> None:
    key = f"{kind.removesuffix('s')}_id"
    op.create_table(
        name,
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(key, sa.Text(), nullable=False),
        sa.Column("added_at", TIME, nullable=True),
        sa.Column("removed_at", TIME, nullable=True),
        sa.Column("listed_sync_id", sa.BigInteger(), nullable=True),
        sa.Column("listed_readings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("hidden_since", TIME, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f(f"fk_{name}_account_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint([key], [f"{kind}.id"], name=op.f(f"fk_{name}_{key}")),
        sa.PrimaryKeyConstraint("account_id", key, name=op.f(f"pk_{name}")),
    )


def _create_top_items() -> None:
    op.create_table(
        "top_items",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("taken_on", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("time_range", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('artists', 'tracks')", name=op.f("ck_top_items_kind")),
        sa.CheckConstraint(
            "time_range IN ('short_term', 'medium_term', 'long_term')", name=op.f("ck_top_items_time_range")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_top_items_account_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "taken_on", "kind", "time_range", "position", name=op.f("pk_top_items")),
        comment="Spotify's top artists and tracks of an account, one snapshot a week",
    )
    op.add_column("playback", sa.Column("top_items_due_at", TIME, nullable=True))


def _allow_lists(*names: str) -> None:
    allowed = ", ".join(f"'{name}'" for name in names)
    op.execute("ALTER TABLE listings DROP CONSTRAINT ck_listings_list")
    op.execute(f"ALTER TABLE listings ADD CONSTRAINT ck_listings_list CHECK (list IN ({allowed}))")
