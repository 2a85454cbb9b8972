"""Parquet files, read by DuckDB, equal the tables: values, types and time zones."""

import io
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from spotisync.core.tables import TABLES, Table
from spotisync.errors import Misconfigured
from spotisync.sync import Context
from spotisync.sync.export import Export
from spotisync.sync.parquet import ROWS_PER_GROUP
from tests.integration.sync.test_export import silent, synced
from tests.integration.sync.test_playback import sql
from tests.support.store import Store

assert synced  # a fixture

ARTISTS = """ARRAY(SELECT artist_id FROM {of}_artists x WHERE x.{of}_id = {id} ORDER BY position),
    ARRAY(SELECT name FROM {of}_artists x JOIN artists ON id = artist_id WHERE x.{of}_id = {id} ORDER BY x.position)"""
ON_PLAYLISTS = """ARRAY(SELECT {column} FROM account_playlists a JOIN playlists p ON p.id = a.playlist_id
    WHERE removed_at IS NULL AND EXISTS (SELECT 1 FROM playlist_items i WHERE i.playlist_id = p.id
        AND i.track_id = s.track_id) ORDER BY a.position)"""
# Every column of every file, from the tables.
STORED: dict[Table, str] = {
    "saved_tracks": f"""SELECT s.track_id, t.uri, t.name, {ARTISTS.format(of="track", id="s.track_id")}, album_id,
        b.name, release_date, released_on, added_at, removed_at, duration_ms, explicit, disc_number, track_number, isrc,
        t.popularity, {ON_PLAYLISTS.format(column="p.id")}, {ON_PLAYLISTS.format(column="p.name")}
        FROM saved_tracks s JOIN tracks t ON t.id = s.track_id LEFT JOIN albums b ON b.id = album_id""",
    "saved_albums": f"""SELECT album_id, uri, name, {ARTISTS.format(of="album", id="s.album_id")}, album_type,
        release_date, released_on, total_tracks, label, upc, popularity, added_at, removed_at
        FROM saved_albums s JOIN albums b ON b.id = album_id""",
    "followed_artists": """SELECT artist_id, uri, name, genres, popularity, followers, removed_at
        FROM followed_artists JOIN artists a ON a.id = artist_id""",
    "saved_shows": """SELECT show_id, uri, name, is_audiobook, publisher, total_episodes, explicit, languages, added_at,
        removed_at FROM saved_shows JOIN shows ON id = show_id""",
    "saved_episodes": """SELECT episode_id, e.uri, e.name, show_id, w.name, duration_ms, e.explicit, language,
        release_date, released_on, added_at, removed_at
        FROM saved_episodes JOIN episodes e ON e.id = episode_id JOIN shows w ON w.id = show_id""",
    "saved_audiobooks": """SELECT audiobook_id, uri, name, authors, narrators, publisher, edition, total_chapters,
        explicit, languages, added_at, removed_at FROM saved_audiobooks JOIN audiobooks ON id = audiobook_id""",
    "playlists": """SELECT playlist_id, name, description, owner_id, owner_name, public, collaborative, snapshot_id,
        total_items, items_status, position, removed_at
        FROM account_playlists JOIN playlists p ON p.id = playlist_id""",
    "playlist_items": f"""SELECT i.playlist_id, p.name, i.position, kind, i.track_id, i.uri, COALESCE(t.name, i.name),
        {ARTISTS.format(of="track", id="i.track_id")}, added_at, added_by
        FROM playlist_items i JOIN playlists p ON p.id = playlist_id LEFT JOIN tracks t ON t.id = i.track_id""",
    "top_items": f"""SELECT taken_on, kind, time_range, position, i.id, COALESCE(t.name, a.name),
        {ARTISTS.format(of="track", id="t.id")}
        FROM top_items i LEFT JOIN tracks t ON t.id = i.id LEFT JOIN artists a ON a.id = i.id""",
    "plays": f"""SELECT played_at, s.track_id, t.uri, t.name, {ARTISTS.format(of="track", id="s.track_id")}, album_id,
        b.name, ms_played, context_uri, source
        FROM play_history s JOIN tracks t ON t.id = s.track_id LEFT JOIN albums b ON b.id = album_id""",
}
INTEGERS = [
    "duration_ms",
    "disc_number",
    "track_number",
    "popularity",
    "total_tracks",
    "followers",
    "total_items",
    "total_episodes",
    "total_chapters",
    "position",
    "ms_played",
]
LISTS = ["artist_ids", "artists", "genres", "playlist_ids", "playlists", "languages", "authors", "narrators"]
TYPES: dict[str, str] = {
    **dict.fromkeys(("released_on", "taken_on"), "DATE"),
    **dict.fromkeys(("explicit", "public", "collaborative", "is_audiobook"), "BOOLEAN"),
    **dict.fromkeys(("added_at", "removed_at", "played_at"), "TIMESTAMP WITH TIME ZONE"),
    **dict.fromkeys(LISTS, "VARCHAR[]"),
    **dict.fromkeys(INTEGERS, "INTEGER"),
}


def read(path: Path) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        types = {row[0]: row[1] for row in duck.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
        return types, duck.execute(f"SELECT * FROM '{path}'").fetchall()


def exported(context: Context, directory: Path, tables: tuple[Table, ...] = TABLES) -> dict[str, Path]:
    request = Export(context.database, None, "parquet", silent, removed=True)
    return {path.stem: path for path in request.to_directory([*tables], directory)}


def test_duckdb_reads_what_the_tables_contain(synced: Context, tmp_path: Path) -> None:
    files = exported(synced, tmp_path)
    for table, query in STORED.items():
        types, rows = read(files[table])
        assert types == {name: TYPES.get(name, "VARCHAR") for name in types}
        stored = [tuple(row) for row in sql(synced, query)]
        assert stored
        assert sorted(rows, key=str) == sorted(stored, key=str)


def test_the_query_of_the_documentation_works(synced: Context, tmp_path: Path) -> None:
    document = Path(__file__).parents[3] / "docs" / "export.md"
    (query,) = re.findall(r"```sql\n(.*?)```", document.read_text(), re.DOTALL)
    exported(synced, tmp_path, ("saved_tracks",))
    with duckdb.connect() as duck:
        found = duck.execute(query.replace("my-library", str(tmp_path))).fetchall()
    listed = sql(
        synced,
        """SELECT p.id, count(DISTINCT s.track_id) AS n FROM playlists p JOIN playlist_items i ON i.playlist_id = p.id
        JOIN saved_tracks s ON s.track_id = i.track_id JOIN account_playlists a ON a.playlist_id = p.id
        WHERE a.removed_at IS NULL GROUP BY p.id""",
    )
    assert sum(count for _, count in found) == sum(row.n for row in listed) > 0


def test_parquet_times_are_instants_in_utc(synced: Context, tmp_path: Path) -> None:
    at = datetime(2024, 3, 31, 1, 30, 0, 123456, tzinfo=UTC)
    sql(synced, "UPDATE saved_tracks SET added_at = :at", at=at)
    file = exported(synced, tmp_path, ("saved_tracks",))["saved_tracks"]
    with duckdb.connect() as duck:
        found = duck.execute(f"SELECT DISTINCT epoch_us(added_at) FROM '{file}'").fetchall()
        assert found == [(round(at.timestamp() * 1_000_000),)]
        logical = duck.execute(f"SELECT logical_type FROM parquet_schema('{file}') WHERE name = 'added_at'").fetchall()
    assert "isAdjustedToUTC=1" in str(logical)


def test_parquet_files_of_empty_tables_have_columns(store: Store, tmp_path: Path) -> None:
    request = Export(store.database, None, "parquet", silent)
    for path, rows in request.to_directory([*TABLES], tmp_path).items():
        types, found = read(path)
        assert (rows, found) == (0, [])
        assert len(types) > 5


def test_parquet_keeps_odd_texts_and_nulls(store: Store, tmp_path: Path) -> None:
    names = ["", "\x01\x7f\u202e", "a\nb,\"c';", "日本 🎵", "x" * 100_000, None]
    for number, name in enumerate(names):
        store.sql("INSERT INTO artists (id, name, uri, genres) VALUES (:id, :name, '', :genres)",
                  id=f"a{number}", name=name, genres=[[], None, ["", "a;b"], ["é"], [], None][number])  # fmt: skip
        store.sql("INSERT INTO followed_artists VALUES (:account, :id)", account=store.account_id, id=f"a{number}")
    (path,) = Export(store.database, None, "parquet", silent).to_directory(["followed_artists"], tmp_path)
    _, rows = read(path)
    assert {row[0]: row[2:4] for row in rows} == {
        f"a{number}": (name, [[], None, ["", "a;b"], ["é"], [], None][number]) for number, name in enumerate(names)
    }


def test_parquet_is_written_to_a_pipe(synced: Context, tmp_path: Path) -> None:
    copy = [sys.executable, "-c", "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, open(sys.argv[1], 'wb'))"]
    path = tmp_path / "plays.parquet"
    with subprocess.Popen([*copy, str(path)], stdin=subprocess.PIPE) as process:
        assert process.stdin
        Export(synced.database, None, "parquet", silent).to_stream("plays", process.stdin)
    assert len(read(path)[1]) == len(sql(synced, "SELECT 1 FROM play_history"))


def test_without_pyarrow_it_says_what_to_install(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    request = Export(store.database, None, "parquet", silent)
    with pytest.raises(Misconfigured, match=r"pip install 'spotisync\[parquet\]'"):
        request.to_directory([*TABLES], tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(Misconfigured):
        request.to_stream("plays", io.BytesIO())


MEASURE = """
import sys
from pathlib import Path
from spotisync.store.database import Database
from spotisync.sync.export import Export

def peak():  # in kB; that of getrusage begins with the peak of the parent
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])

database = Database(sys.argv[1])
export = Export(database, None, "parquet", lambda *now: None)
export.to_directory(["followed_artists"], Path(sys.argv[2]))
before = peak()
export.to_directory(["saved_tracks"], Path(sys.argv[2]))
print(peak() - before)
database.close()
"""


@pytest.mark.slow
def test_memory_for_parquet_is_bounded(store: Store, tmp_path: Path, database_url: str) -> None:
    store.sql("INSERT INTO albums (id, name, uri) SELECT g::text, 'album ' || g, 'u' FROM generate_series(1, 10000) g")
    store.sql(
        """INSERT INTO tracks (id, name, uri, album_id)
        SELECT g::text, 'a name of usual length ' || g, 'spotify:track:' || g, (g % 10000 + 1)::text
        FROM generate_series(1, 100000) g"""
    )
    grown = []
    for rows in (ROWS_PER_GROUP, 100_000):
        store.sql(
            """INSERT INTO saved_tracks (account_id, track_id, added_at)
            SELECT :id, id, now() FROM tracks ORDER BY id LIMIT :rows ON CONFLICT DO NOTHING""",
            id=store.account_id,
            rows=rows,
        )
        command = [sys.executable, "-c", MEASURE, database_url, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
        grown.append(int(done.stdout))
        with duckdb.connect() as duck:
            (count,) = duck.execute(
                f"SELECT count(DISTINCT track_id) FROM '{tmp_path}/saved_tracks.parquet'"
            ).fetchall()
        assert count == (rows,)
    # In kB. Five row groups need hardly more than one.
    assert grown[1] < 1.5 * grown[0] + 20_000, grown
    assert grown[1] < 120_000, grown
