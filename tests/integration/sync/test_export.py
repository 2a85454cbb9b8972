"""Exported files, read back, equal the tables."""

import csv
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spotisync.core.tables import TABLES, Format
from spotisync.errors import Fatal
from spotisync.simulator import Server
from spotisync.sync import Context, playback
from spotisync.sync.export import Export
from tests.integration.sync.test_playback import sql
from tests.support.driver import Account, full_sync, incremental_sync
from tests.support.store import Store
from tests.system.command_line import InProcess
from tests.system.programs import environment


def silent(*_: object) -> None:
    pass


def exported(
    context: Context, directory: Path, format_: Format = "jsonl", *, removed: bool = True
) -> dict[str, list[Any]]:
    written = Export(context.database, None, format_, silent, removed=removed).to_directory(list(TABLES), directory)
    found = {path.stem: list(_read(path)) for path in written}
    assert {path.stem: rows for path, rows in written.items()} == {name: len(rows) for name, rows in found.items()}
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def synced(context: Context, simulator: Server, account: Account) -> Context:
    """A synced library with a removed track, names that are difficult in files, and plays."""
    full_sync(context, account)
    first = sql(context, "SELECT track_id FROM saved_tracks ORDER BY 1 LIMIT 1")[0].track_id
    simulator.world.edit("unlike", track=first)
    incremental_sync(context, account)
    playback.track_plays(context)
    hard = 'a "quoted"; name, with\na line, a \\ backslash\tand ü'
    sql(context, "UPDATE tracks SET name = :name WHERE id = (SELECT max(track_id) FROM saved_tracks)", name=hard)
    sql(context, "UPDATE artists SET name = '', genres = '{}' WHERE id = (SELECT min(artist_id) FROM followed_artists)")
    return context


# The columns compared of each table: keys and values.
STORED = {
    "saved_tracks": """SELECT track_id, t.name, t.album_id, to_json(added_at) #>> '{}', to_json(removed_at) #>> '{}',
        ARRAY(SELECT artist_id FROM track_artists x WHERE x.track_id = s.track_id ORDER BY position) FROM saved_tracks s
        JOIN tracks t ON t.id = track_id""",
    "saved_albums": "SELECT album_id, name, label FROM saved_albums JOIN albums ON id = album_id",
    "followed_artists": """SELECT artist_id, name, genres, popularity FROM followed_artists
        JOIN artists ON id = artist_id""",
    "saved_shows": """SELECT show_id, name, is_audiobook, publisher, to_json(added_at) #>> '{}' FROM saved_shows
        JOIN shows ON id = show_id""",
    "saved_episodes": """SELECT episode_id, e.name, w.name, duration_ms FROM saved_episodes
        JOIN episodes e ON id = episode_id JOIN shows w ON w.id = show_id""",
    "saved_audiobooks": """SELECT audiobook_id, name, authors, narrators FROM saved_audiobooks
        JOIN audiobooks ON id = audiobook_id""",
    "playlists": """SELECT playlist_id, name, snapshot_id, p.position FROM account_playlists p
        JOIN playlists ON id = playlist_id""",
    "playlist_items": "SELECT playlist_id, position, kind, track_id, uri FROM playlist_items",
    "top_items": "SELECT taken_on :: text, kind, time_range, position, id FROM top_items",
    "plays": "SELECT to_json(played_at) #>> '{}', track_id, ms_played, context_uri, source FROM play_history",
}
COLUMNS = {
    "saved_tracks": ("track_id", "name", "album_id", "added_at", "removed_at", "artist_ids"),
    "saved_albums": ("album_id", "name", "label"),
    "followed_artists": ("artist_id", "name", "genres", "popularity"),
    "saved_shows": ("show_id", "name", "is_audiobook", "publisher", "added_at"),
    "saved_episodes": ("episode_id", "name", "show", "duration_ms"),
    "saved_audiobooks": ("audiobook_id", "name", "authors", "narrators"),
    "playlists": ("playlist_id", "name", "snapshot_id", "position"),
    "playlist_items": ("playlist_id", "position", "kind", "track_id", "uri"),
    "top_items": ("taken_on", "kind", "time_range", "position", "id"),
    "plays": ("played_at", "track_id", "ms_played", "context_uri", "source"),
}


def stored(context: Context, table: str) -> list[tuple[Any, ...]]:
    sql(context, "SET timezone = 'UTC'")
    return sorted((tuple(row) for row in sql(context, STORED[table])), key=str)


def test_exported_json_lines_equal_the_tables(synced: Context, tmp_path: Path) -> None:
    found = exported(synced, tmp_path)
    for table in TABLES:
        assert sorted((tuple(row[c] for c in COLUMNS[table]) for row in found[table]), key=str) == stored(synced, table)
        assert found[table]


def test_exported_csv_equals_the_tables(synced: Context, tmp_path: Path) -> None:
    def text(value: Any, column: str) -> str:
        if isinstance(value, list):
            return (" " if column.endswith("_ids") else "; ").join(value)
        return "tf"[not value] if isinstance(value, bool) else "" if value is None else str(value)

    found = exported(synced, tmp_path, "csv")
    for table in TABLES:
        wanted = [tuple(map(text, row, COLUMNS[table])) for row in stored(synced, table)]
        assert sorted(tuple(row[column] for column in COLUMNS[table]) for row in found[table]) == sorted(wanted)


def test_distinguishes_unknown_and_empty(synced: Context, tmp_path: Path) -> None:
    sql(synced, "UPDATE artists SET genres = NULL WHERE id = (SELECT max(artist_id) FROM followed_artists)")
    Export(synced.database, None, "csv", silent, removed=True).to_directory(["followed_artists"], tmp_path)
    lines = (tmp_path / "followed_artists.csv").read_text().splitlines()
    assert any(',"",' in line for line in lines)
    assert any(",," in line for line in lines)


def test_a_spreadsheet_runs_no_name_as_a_formula(synced: Context, tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "plain", "a=1", "'=1"]
    sql(synced, "DELETE FROM followed_artists")
    for number, name in enumerate(names):
        values = f"'f{number}', $name${name}$name$, '', '{{=x}}'"
        sql(synced, f"INSERT INTO artists (id, name, uri, genres) VALUES ({values})")
    followed = "SELECT a.id, artists.id FROM accounts a, artists WHERE artists.id ~ '^f[0-9]$'"
    sql(synced, f"INSERT INTO followed_artists (account_id, artist_id) {followed}")
    for formulas in (False, True):
        request = Export(synced.database, None, "csv", silent, formulas=formulas)
        (path,) = request.to_directory(["followed_artists"], tmp_path)
        with path.open(newline="") as file:
            rows = {row["artist_id"]: row for row in csv.DictReader(file)}
        found = [rows[f"f{number}"]["name"] for number in range(len(names))]
        assert found == names if formulas else found == [*(f"'{name}" for name in names[:7]), *names[7:]]
        assert {row["genres"] for row in rows.values()} == {"=x" if formulas else "'=x"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_includes_removed_rows_on_request(synced: Context, tmp_path: Path) -> None:
    without, all_ = (exported(synced, tmp_path, removed=removed)["saved_tracks"] for removed in (False, True))
    assert len(all_) == len(without) + 1
    assert [row["track_id"] for row in all_ if row["removed_at"]] == [
        row.track_id for row in sql(synced, "SELECT track_id FROM saved_tracks WHERE removed_at IS NOT NULL")
    ]


def test_an_interrupted_export_keeps_the_previous_one(synced: Context, tmp_path: Path) -> None:
    exported(synced, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def enough(table: str, rows: int, total: int) -> None:
        if table == "plays" and rows == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Export(synced.database, None, "jsonl", enough).to_directory(["plays"], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class ClosedPipe:
    """Fails as stdout does when its reader has ended."""

    def write(self, data: bytes) -> None:
        raise BrokenPipeError(f"{len(data)} bytes were not read")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
def test_a_failed_write_ends_the_export(synced: Context, format_: Format) -> None:
    with pytest.raises(BrokenPipeError):
        Export(synced.database, None, format_, silent).to_stream("saved_tracks", ClosedPipe())


def test_reports_a_directory_that_cannot_be_written(synced: Context, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match="can't be created"):
        exported(synced, tmp_path / "file" / "below")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_tracks(store: Store, tmp_path: Path) -> None:
    store.sql("INSERT INTO tracks (id, name, uri) SELECT g::text, 'name ' || g, 'u' FROM generate_series(1, 100000) g")
    store.sql(
        """INSERT INTO saved_tracks (account_id, track_id, added_at) SELECT :id, id, now() FROM tracks""",
        id=store.account_id,
    )
    tracemalloc.start()
    try:
        progress: list[int] = []
        written = Export(store.database, None, "jsonl", lambda *now: progress.append(now[1])).to_directory(
            ["saved_tracks"], tmp_path
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(written.values()) == [100_000]
    assert peak < 5_000_000
    assert progress[0] == 0
    assert progress == sorted(progress)
    assert len(progress) > 50


def test_the_export_command_writes_files_and_prints_json(
    synced: Context, tmp_path: Path, make_settings: Callable[..., Any], simulator: Server
) -> None:
    spotisync = InProcess(environment(make_settings(simulator.url)))
    done = spotisync("export", str(tmp_path / "out"), "--json")
    assert done.code == 0
    assert {Path(each["file"]).name for each in done.json} == {f"{table}.csv" for table in TABLES}
    assert all(Path(each["file"]).stat().st_size for each in done.json)
    assert spotisync("export", "-").code == 2
    assert "is not one of saved_tracks" in spotisync("export", "x", "--only", "tracks").err
    assert "Unknown account" in spotisync("export", str(tmp_path / "out"), "--account", "nobody").err
