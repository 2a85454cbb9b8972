"""Tables and formats of `spotisync export`; separate from `store.export`, so that `--help` does not load SQLAlchemy."""

from typing import Literal, get_args

Table = Literal["saved_tracks", "saved_albums", "followed_artists", "playlists", "playlist_items", "plays"]
Format = Literal["csv", "jsonl"]
TABLES: tuple[Table, ...] = get_args(Table)
