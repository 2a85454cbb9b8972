"""Tables and formats of `spotisync export`; separate from `store.export`, so that `--help` does not load SQLAlchemy."""

from typing import Literal, get_args

Table = Literal[
    "saved_tracks", "saved_albums", "followed_artists", "saved_shows", "saved_episodes", "saved_audiobooks",
    "playlists", "playlist_items", "plays", "top_items",
]  # fmt: skip
# Formats of tables, and of playlist files.
Format = Literal["csv", "jsonl", "parquet"]
PlaylistFormat = Literal["m3u8", "jspf"]
AnyFormat = Literal[Format, PlaylistFormat]
# "time" is timestamptz, "texts" is text[].
ColumnType = Literal["text", "texts", "integer", "boolean", "date", "time"]
TABLES: tuple[Table, ...] = get_args(Table)
