"""Export of the library with COPY, so memory use does not depend on the library's size.

CSV and JSON are formatted by Postgres; for Parquet, rows come as Python values.

CSV follows `COPY … CSV`: null is an empty field, an empty text is `""`. Times are ISO 8601 in UTC. A spreadsheet runs a
cell that begins with one of `FORMULA_STARTS`, so such a text gets an apostrophe, which it does not show.
"""

from collections.abc import Generator
from typing import Any, Final

from spotisync.core.tables import ColumnType, Format, Table
from spotisync.store.database import Connection, execute

_ARTISTS = """ARRAY(SELECT a.{column} FROM {of}_artists x JOIN artists a ON a.id = x.artist_id
    WHERE x.{of}_id = {id} ORDER BY x.position)"""


def _artists(of: str, id_: str) -> str:
    ids, names = (_ARTISTS.format(column=column, of=of, id=id_) for column in ("id", "name"))
    return f"{ids} AS artist_ids, {names} AS artists"


# The playlists that the account has now and that contain the track. OFFSET makes Postgres look up each track by the
# indexes, also while the tables have no statistics: with other plans an export of 20,000 tracks took minutes.
_PLAYLISTS = """LATERAL (SELECT array_agg(i.playlist_id ORDER BY l.position, i.playlist_id) AS playlist_ids,
        array_agg(p.name ORDER BY l.position, i.playlist_id) AS playlists
    FROM (SELECT DISTINCT playlist_id FROM playlist_items WHERE track_id = s.track_id OFFSET 0) i
        CROSS JOIN LATERAL (SELECT position FROM account_playlists WHERE account_id = s.account_id
            AND playlist_id = i.playlist_id AND removed_at IS NULL OFFSET 0) l
        CROSS JOIN LATERAL (SELECT name FROM playlists WHERE id = i.playlist_id OFFSET 0) p)"""
# Columns, FROM clause, order.
_QUERIES: dict[Table, tuple[str, str, str]] = {
    "saved_tracks": (
        f"""s.track_id, t.uri, t.name, {_artists("track", "t.id")}, t.album_id, b.name AS album, b.release_date,
        b.released_on, s.added_at, s.removed_at, t.duration_ms, t.explicit, t.disc_number, t.track_number, t.isrc,
        t.popularity, COALESCE(o.playlist_ids, ARRAY[]::text[]) AS playlist_ids,
        COALESCE(o.playlists, ARRAY[]::text[]) AS playlists""",
        f"""saved_tracks s JOIN tracks t ON t.id = s.track_id LEFT JOIN albums b ON b.id = t.album_id
        CROSS JOIN {_PLAYLISTS} o""",
        "s.added_at DESC, s.track_id",
    ),
    "saved_albums": (
        f"""s.album_id, b.uri, b.name, {_artists("album", "b.id")}, b.album_type, b.release_date, b.released_on,
        b.total_tracks, b.label, b.upc, b.popularity, s.added_at, s.removed_at""",
        "saved_albums s JOIN albums b ON b.id = s.album_id",
        "s.added_at DESC, s.album_id",
    ),
    "followed_artists": (
        "s.artist_id, a.uri, a.name, a.genres, a.popularity, a.followers, s.removed_at",
        "followed_artists s JOIN artists a ON a.id = s.artist_id",
        "a.name, s.artist_id",
    ),
    "saved_shows": (
        """s.show_id, w.uri, w.name, w.is_audiobook, w.publisher, w.total_episodes, w.explicit, w.languages, s.added_at,
        s.removed_at""",
        "saved_shows s JOIN shows w ON w.id = s.show_id",
        "s.added_at DESC NULLS LAST, s.show_id",
    ),
    "saved_episodes": (
        """s.episode_id, e.uri, e.name, e.show_id, w.name AS show, e.duration_ms, e.explicit, e.language,
        e.release_date, e.released_on, s.added_at, s.removed_at""",
        "saved_episodes s JOIN episodes e ON e.id = s.episode_id LEFT JOIN shows w ON w.id = e.show_id",
        "s.added_at DESC NULLS LAST, s.episode_id",
    ),
    "saved_audiobooks": (
        """s.audiobook_id, k.uri, k.name, k.authors, k.narrators, k.publisher, k.edition, k.total_chapters, k.explicit,
        k.languages, s.added_at, s.removed_at""",
        "saved_audiobooks s JOIN audiobooks k ON k.id = s.audiobook_id",
        "s.added_at DESC NULLS LAST, s.audiobook_id",
    ),
    "playlists": (
        """s.playlist_id, p.name, p.description, p.owner_id, p.owner_name, p.public, p.collaborative, p.snapshot_id,
        p.total_items, s.items_status, s.position, s.removed_at""",
        "account_playlists s JOIN playlists p ON p.id = s.playlist_id",
        "s.position, s.playlist_id",
    ),
    "playlist_items": (
        f"""s.playlist_id, p.name AS playlist, i.position, i.kind, i.track_id, i.uri,
        COALESCE(t.name, i.name) AS name, {_artists("track", "i.track_id")}, i.added_at, i.added_by""",
        """account_playlists s JOIN playlists p ON p.id = s.playlist_id JOIN playlist_items i ON i.playlist_id = p.id
        LEFT JOIN tracks t ON t.id = i.track_id""",
        "s.position, s.playlist_id, i.position",
    ),
    "plays": (
        f"""s.played_at, s.track_id, t.uri, t.name, {_artists("track", "t.id")}, t.album_id, b.name AS album,
        s.ms_played, s.context_uri, s.source""",
        "play_history s JOIN tracks t ON t.id = s.track_id LEFT JOIN albums b ON b.id = t.album_id",
        "s.played_at, s.track_id",
    ),
    "top_items": (
        f"""s.taken_on, s.kind, s.time_range, s.position, s.id, COALESCE(t.name, a.name) AS name,
        {_artists("track", "t.id")}""",
        """top_items s LEFT JOIN tracks t ON s.kind = 'tracks' AND t.id = s.id
        LEFT JOIN artists a ON s.kind = 'artists' AND a.id = s.id""",
        "s.taken_on, s.kind, s.time_range, s.position",
    ),
}
_NEVER_REMOVED: Final[tuple[Table, ...]] = ("plays", "top_items")
_COUNTED: dict[Table, str] = {
    "playlist_items": "account_playlists s JOIN playlist_items i ON i.playlist_id = s.playlist_id"
}
_TEXT, _TEXT_ARRAY, _TIMESTAMPTZ = 25, 1009, 1184  # type OIDs
_TYPES: Final[dict[int, ColumnType]] = {
    16: "boolean",
    23: "integer",
    _TEXT: "text",
    1082: "date",
    _TEXT_ARRAY: "texts",
    _TIMESTAMPTZ: "time",
}
FORMULA_STARTS = r"E'=', E'+', E'-', E'@', E'\t', E'\r', E'\n'"


def begin_snapshot(connection: Connection) -> None:
    """Make the transaction read-only on one snapshot. Call it first in the transaction."""
    execute(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    execute(connection, "SET LOCAL timezone = 'UTC'")


def count_rows(connection: Connection, table: Table, account_id: int, *, removed: bool) -> int:
    # The other joins find one row for each.
    rows = _COUNTED.get(table, f"{_QUERIES[table][1].split()[0]} s")
    found = execute(connection, f"SELECT count(*) FROM {rows} {_where(table, account_id, removed=removed)}")
    return int(found.scalar_one())


def iter_rows(
    connection: Connection, table: Table, format_: Format, account_id: int, *, removed: bool, formulas: bool = False
) -> Generator[bytes, None, None]:
    """Yield each row as a line; in CSV, a header line first. `formulas`: leave texts that look like one unchanged."""
    cursor = connection.connection.cursor()
    query = _query(table, account_id, removed=removed)
    if format_ == "csv":
        with cursor.copy(
            f"COPY ({_csv_query(connection, query, formulas=formulas)}) TO STDOUT WITH (FORMAT csv, HEADER)"
        ) as copy:
            for line in copy:
                yield bytes(line)
        return
    with cursor.copy(f"COPY (SELECT row_to_json(r) FROM ({query}) r) TO STDOUT") as copy:
        for (line,) in copy.rows():
            yield f"{line}\n".encode()


def get_columns(connection: Connection, table: Table, account_id: int) -> dict[str, ColumnType]:
    described = _describe(connection, _query(table, account_id, removed=True))
    return {each.name: _TYPES[each.type_code] for each in described}


def iter_values(
    connection: Connection, table: Table, account_id: int, *, removed: bool
) -> Generator[tuple[Any, ...], None, None]:
    """Yield each row as Python values: times are aware and in UTC, arrays are lists."""
    query = _query(table, account_id, removed=removed)
    types = [each.type_code for each in _describe(connection, query)]
    with connection.connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy:
        copy.set_types(types)
        yield from copy.rows()


def _query(table: Table, account_id: int, *, removed: bool) -> str:
    columns, source, order = _QUERIES[table]
    return f"SELECT {columns} FROM {source} {_where(table, account_id, removed=removed)} ORDER BY {order}"


def _where(table: Table, account_id: int, *, removed: bool) -> str:
    saved = "" if removed or table in _NEVER_REMOVED else "AND s.removed_at IS NULL"
    # COPY takes no parameters; int() makes the interpolation safe.
    return f"WHERE s.account_id = {int(account_id)} {saved}"


def _csv_query(connection: Connection, query: str, *, formulas: bool) -> str:
    """Convert arrays to text: ids are joined by spaces, which they never contain, names by semicolons."""
    columns = _describe(connection, query)
    cells = ", ".join(f"{_cell(each.name, each.type_code, formulas=formulas)} AS {each.name}" for each in columns)
    return f"SELECT {cells} FROM ({query}) r"


def _describe(connection: Connection, query: str) -> Any:
    return connection.exec_driver_sql(f"SELECT * FROM ({query}) r LIMIT 0").cursor.description


def _cell(name: str, type_oid: int, *, formulas: bool) -> str:
    if type_oid == _TIMESTAMPTZ:
        return f"to_json({name}) #>> '{{}}'"
    if type_oid not in {_TEXT, _TEXT_ARRAY}:
        return name
    text = name if type_oid == _TEXT else f"array_to_string({name}, '{' ' if name.endswith('_ids') else '; '}')"
    return text if formulas else f"CASE WHEN left({text}, 1) IN ({FORMULA_STARTS}) THEN '''' || {text} ELSE {text} END"
