"""The tables of the loop: the public columns and the keys of ours, and what compares the two."""

from typing import Any

import psycopg
from sqlalchemy.dialects import postgresql

from spotisync.store import schema

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
# Parents first. The columns that the loop stores, the key first; `released_on` is derived, as in ours.
NAMES = {
    "artists": "id name uri genres popularity followers image_url",
    "albums": "id name uri album_type release_date release_date_precision released_on total_tracks label popularity"
    " upc image_url",
    "album_artists": "album_id position artist_id",
    "tracks": "id name uri album_id duration_ms explicit disc_number track_number isrc popularity",
    "track_artists": "track_id position artist_id",
    "saved_tracks": "account_id track_id added_at",
    "saved_albums": "account_id album_id added_at",
    "followed_artists": "account_id artist_id",
    "playlists": "id name description owner_id owner_name public collaborative snapshot_id total_items image_url",
    "account_playlists": "account_id playlist_id position",
    "playlist_items": "playlist_id position kind track_id uri name added_at added_by",
}
COLUMNS = {table: names.split() for table, names in NAMES.items()}
KEYS = {table: len(schema.metadata.tables[table].primary_key) for table in NAMES}
# Rows of our own that the loop has no counterpart of: what was removed or can't be read.
LIVE = {"saved_tracks", "saved_albums", "followed_artists", "account_playlists"}


def _columns(table: str) -> str:
    columns = (schema.metadata.tables[table].c[name] for name in COLUMNS[table])
    return ", ".join(f"{column.name} {column.type.compile(dialect=DIALECT)}" for column in columns)


def _references(table: str) -> str:
    owners = (key for key in schema.metadata.tables[table].foreign_keys if key.column.table.name in NAMES)
    return "".join(f", FOREIGN KEY ({key.parent.name}) REFERENCES {key.column.table.name}" for key in owners)


def _key(table: str) -> str:
    return ", ".join(COLUMNS[table][: KEYS[table]])


DDL = "".join(
    f"CREATE TABLE {table} ({_columns(table)}, PRIMARY KEY ({_key(table)}){_references(table)});" for table in NAMES
)
STAGES = "".join(f"CREATE TEMP TABLE stage_{table} ({_columns(table)}) ON COMMIT DELETE ROWS;" for table in NAMES)


def _upsert(table: str) -> str:
    rest = COLUMNS[table][KEYS[table] :]
    assignments = ", ".join(f"{name} = excluded.{name}" for name in rest)
    action = f"UPDATE SET {assignments}" if rest else "NOTHING"
    names = ", ".join(COLUMNS[table])
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM stage_{table} ON CONFLICT ({_key(table)}) DO {action}"  # noqa: S608 (names of tables and columns)


UPSERTS = {table: _upsert(table) for table in NAMES}


def compare(ours: psycopg.Connection[Any], loop: psycopg.Connection[Any]) -> dict[str, int]:
    """Compare all rows of both databases. Returns the number of rows by table; raises ValueError if any differ."""
    counts = {}
    for table in NAMES:
        found, expected = (_read(connection, table, live=live) for connection, live in ((ours, True), (loop, False)))
        if difference := found ^ expected:
            examples = sorted(map(str, difference))[:4]
            raise ValueError(f"{table}: {len(found)} rows, the loop has {len(expected)}; {len(difference)}: {examples}")
        counts[table] = len(found)
    return counts


def _read(connection: psycopg.Connection[Any], table: str, *, live: bool) -> set[str]:
    where = "WHERE removed_at IS NULL" if live and table in LIVE else ""
    # As text, because an array is not hashable.
    rows = connection.execute(f"SELECT ({', '.join(COLUMNS[table])})::text FROM {table} {where}".encode())  # noqa: S608
    return {row[0] for row in rows}
