"""An import of another spotisync's export: complete, repeatable, and never over what Spotify told."""

import json
import random
import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from spotisync.core.tables import Format
from spotisync.errors import Fatal
from spotisync.simulator import Server
from spotisync.sync import Context, playback
from spotisync.sync.export import Export
from spotisync.sync.export_files import is_export
from spotisync.sync.import_export import ExportSummary, import_export
from spotisync.sync.import_history import import_history
from tests.integration.sync.test_export import silent, synced
from tests.integration.sync.test_playback import export as spotify_export
from tests.integration.sync.test_playback import listen, sql
from tests.support.driver import Account, full_sync
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth
from tests.system.command_line import InProcess
from tests.system.programs import environment

assert synced  # a fixture

PLAYS = "SELECT played_at, track_id, source, ms_played, context_uri FROM play_history ORDER BY 1, 2"
REMOVED = "SELECT track_id, added_at, removed_at FROM saved_tracks WHERE removed_at IS NOT NULL ORDER BY 1"
TRACKS = """SELECT t.id, t.name, t.uri, t.album_id, b.name, ARRAY(SELECT x.artist_id || a.name FROM track_artists x
        JOIN artists a ON a.id = x.artist_id WHERE x.track_id = t.id ORDER BY x.position)
    FROM tracks t LEFT JOIN albums b ON b.id = t.album_id WHERE t.id IN (SELECT track_id FROM play_history
        UNION SELECT track_id FROM saved_tracks WHERE removed_at IS NOT NULL) ORDER BY 1"""
FORMATS: list[Format] = ["csv", "jsonl", "parquet"]


@pytest.fixture
def listened(synced: Context, simulator: Server, tmp_path: Path) -> Context:
    """A library with plays of both sources and a removed track."""
    listen(simulator, 80)
    playback.track_plays(synced)
    import_history(synced.database, None, spotify_export(simulator, tmp_path), silent)
    assert {row.source for row in sql(synced, "SELECT DISTINCT source FROM play_history")} == {"recent", "import"}
    assert sql(synced, REMOVED)
    return synced


def write(context: Context, directory: Path, format_: Format = "jsonl") -> Path:
    Export(context.database, None, format_, silent, removed=True).to_directory(["saved_tracks", "plays"], directory)
    return directory


def read(context: Context | Store, path: Path) -> ExportSummary:
    return import_export(context.database, None, path, silent)


def tables(context: Any, *queries: str) -> list[list[tuple[Any, ...]]]:
    return [[tuple(row) for row in sql(context, query)] for query in queries]


@pytest.mark.parametrize("format_", FORMATS)
def test_an_import_restores_plays_and_removed_tracks(listened: Context, tmp_path: Path, format_: Format) -> None:
    before = tables(listened, PLAYS, REMOVED)
    path = write(listened, tmp_path / "out", format_)
    sql(listened, "DELETE FROM play_history WHERE ctid IN (SELECT ctid FROM play_history WHERE random() < 0.7)")
    (kept,) = tables(listened, PLAYS)
    sql(listened, "DELETE FROM saved_tracks WHERE removed_at IS NOT NULL")
    done = read(listened, path)
    assert tables(listened, PLAYS, REMOVED) == before
    assert (done.plays_added, done.plays_known) == (len(before[0]) - len(kept), len(kept))
    assert (done.removed_added, done.done) == (len(before[1]), done.rows)
    again = read(listened, path)
    assert (again.plays_added, again.removed_added, again.done) == (0, 0, done.rows)
    assert tables(listened, PLAYS, REMOVED) == before


@pytest.mark.parametrize("format_", FORMATS)
def test_an_import_into_an_empty_database_knows_the_tracks(
    listened: Context, tmp_path: Path, format_: Format, account: Account
) -> None:
    sql(listened, "UPDATE artists SET name = 'a name' WHERE name IN ('') OR name LIKE '%; %'")
    before = tables(listened, PLAYS, REMOVED, TRACKS)
    path = write(listened, tmp_path / "out", format_)
    for table in ("play_history", "saved_tracks", "account_playlists", "playlists", "tracks", "saved_albums"):
        sql(listened, f"DELETE FROM {table}")
    for table in ("followed_artists", "albums", "artists", "listings"):
        sql(listened, f"DELETE FROM {table}")
    read(listened, path)
    assert tables(listened, PLAYS, REMOVED, TRACKS) == before
    full_sync(listened, account)
    assert tables(listened, PLAYS, REMOVED) == before[:2]


def test_an_import_changes_nothing_that_spotify_told(
    listened: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    path = write(listened, tmp_path / "out")
    for name in ("plays.jsonl", "saved_tracks.jsonl"):
        rows = [json.loads(line) for line in (path / name).read_text().splitlines()]
        changed = [{**row, "name": "wrong", "artists": ["wrong"] * 9, "album": "wrong", "ms_played": 1} for row in rows]
        if name == "saved_tracks.jsonl":
            changed = [
                {**row, "removed_at": "2025-01-01T00:00:00Z", "added_at": "2001-01-01T00:00:00Z"} for row in changed
            ]
        (path / name).write_text("\n".join(map(json.dumps, changed)))
    kept = ("tracks", "artists", "albums", "saved_tracks", "saved_spans", "track_artists", "album_artists")
    queries = [f"SELECT * FROM {table} ORDER BY 1, 2" for table in kept]
    before = tables(listened, *queries)
    known = tables(listened, "SELECT * FROM play_history WHERE ms_played IS NOT NULL ORDER BY 2, 3")
    done = read(listened, path)
    assert (done.plays_added, done.removed_added) == (0, 0)
    assert done.removed_known
    assert tables(listened, *queries) == before
    found = tables(listened, "SELECT * FROM play_history ORDER BY 2, 3")[0]
    assert set(known[0]) <= set(found)
    assert_tables_equal_truth(listened, account, simulator.world.truth(account.name))


def test_invalid_files_are_named_and_nothing_is_stored(store: Store, tmp_path: Path) -> None:
    good = '{"track_id": "4uLU6hMCjMI75M1A2tKUQC", "played_at": "2024-01-01T00:00:00Z"}\n'
    cells = "4uLU6hMCjMI75M1A2tKUQC,2024-01-01T00:00:00Z"
    head = "track_id,played_at,name\n"
    wrong: list[tuple[str, bytes, str]] = [
        ("plays.jsonl", f"{good}\n{good}{{".encode(), r"plays.jsonl, line 4: JSONDecodeError"),
        ("plays.jsonl", f"{good}[]\n".encode(), r"plays.jsonl, line 2: is no JSON object"),
        ("plays.jsonl", f"{good}{good}".encode() + b"\xff\n", r"plays.jsonl.*UnicodeDecodeError"),
        ("plays.jsonl", good.encode() + b"[" * 100_000 + b"\n", r"plays.jsonl, line 2"),
        ("plays.jsonl", good.encode() + b" " * 1_100_000 + b"\n", r"line 2: is longer than 1,048,576 characters"),
        ("plays.jsonl", good.replace("Z", "").encode(), r"plays.jsonl, line 1: played_at is .* time zone"),
        ("plays.jsonl", b'{"track": 1}\n', r"plays.jsonl is no export of plays"),
        ("plays.csv", f"{head}{cells},x\n{cells}\n".encode(), r"plays.csv, line 3: has not as many cells"),
        ("plays.csv", f'{head}{cells},"a\nb"\n{cells},a,b\n'.encode(), r"plays.csv, line 4: has not as many cells"),
        ("plays.csv", f'{head}{cells},"a\n'.encode(), r"plays.csv, line 2: unexpected end"),
        ("plays.csv", f"{head}{cells},a\nx,2024-01-01T00:00:00Z,\n".encode(), r"plays.csv, line 3: track_id is 'x'"),
        ("plays.csv", f'{head}{cells},"{"x" * 200_000}"\n'.encode(), r"plays.csv, line 2: field larger"),
        ("plays.csv", f"{head}{cells}\n".replace(",", ";").encode(), r"plays.csv is no export of plays"),
        ("plays.csv", b"", r"plays.csv"),
        ("plays.parquet", b"PAR1, but not really PAR1", r"plays.parquet: no readable Parquet file"),
        ("plays.parquet", b"", r"plays.parquet: no readable Parquet file"),
    ]
    for name, content, message in wrong:
        directory = tmp_path / "wrong"
        directory.mkdir()
        (directory / "saved_tracks.jsonl").write_text(
            '{"track_id": "4uLU6hMCjMI75M1A2tKUQC", "added_at": "2024-01-01T00:00:00Z", '
            '"removed_at": "2024-01-02T00:00:00Z"}'
        )
        (directory / name).write_bytes(content)
        if (name, content) != ("plays.csv", b""):
            with pytest.raises(Fatal, match=message):
                read(store, directory)
            with pytest.raises(Fatal, match=message):
                read(store, directory / name)
            for table in ("play_history", "saved_tracks", "tracks"):
                assert store.sql(f"SELECT * FROM {table}") == []
        shutil.rmtree(directory)


def test_finds_the_files_of_an_export(listened: Context, tmp_path: Path, simulator: Server) -> None:
    path = write(listened, tmp_path / "out")
    (path / "saved_albums.jsonl").write_text("{}")
    (path / "plays.jsonl").rename(path / "my plays.jsonl")
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.write(path / "my plays.jsonl", "out/plays.jsonl")
    assert read(listened, path / "my plays.jsonl").files == ["my plays.jsonl"]
    found = read(listened, path)
    assert (found.files, found.left_out) == (["saved_tracks.jsonl"], ["my plays.jsonl", "saved_albums.jsonl"])
    assert all(map(is_export, (path, path / "my plays.jsonl", tmp_path / "out.zip")))
    assert read(listened, tmp_path / "out.zip").plays_known == len(sql(listened, PLAYS))
    (path / "deeper").mkdir()
    (path / "deeper" / "saved_tracks.csv").write_text("track_id,added_at,removed_at\n")
    with pytest.raises(Fatal, match=r"several files of saved_tracks: saved_tracks.jsonl, deeper/saved_tracks.csv"):
        read(listened, path)
    assert not is_export(spotify_export(simulator, tmp_path))
    (path / "endsong_1.json").write_text("[]")
    with pytest.raises(Fatal, match=r"an export of spotisync .* and a streaming history"):
        is_export(path)


def test_a_zip_file_may_contain_parquet(listened: Context, tmp_path: Path) -> None:
    path = write(listened, tmp_path / "out", "parquet")
    with zipfile.ZipFile(tmp_path / "out.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path / "plays.parquet", "plays.parquet")
    assert read(listened, tmp_path / "out.zip").plays_known == len(sql(listened, PLAYS))


def test_an_interrupted_import_is_completed_by_the_next(
    listened: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spotisync.sync import import_export as importing

    monkeypatch.setattr(importing, "ROWS_PER_COMMIT", 20)
    before = tables(listened, PLAYS)
    path = write(listened, tmp_path / "out")
    sql(listened, "DELETE FROM play_history")

    def stop(rows: int, total: int) -> None:
        if rows > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_export(listened.database, None, path, stop)
    stored = len(sql(listened, PLAYS))
    assert 0 < stored < len(before[0])
    assert read(listened, path).plays_known == stored
    assert tables(listened, PLAYS) == before


def test_the_import_command_reports_what_it_did(
    listened: Context, tmp_path: Path, make_settings: Callable[..., Any], simulator: Server
) -> None:
    spotisync = InProcess(environment(make_settings(simulator.url)))
    path = write(listened, tmp_path / "out", "csv")
    plays, removed = (len(rows) for rows in tables(listened, PLAYS, REMOVED))
    sql(listened, "DELETE FROM play_history")
    done = spotisync("import", str(path))
    assert done.code == 0, done.err
    assert f"Imported {plays} plays for" in done.out
    assert "saved_tracks.csv" in done.out
    found = spotisync("import", str(path), "--json").json
    saved = sql(listened, "SELECT 1 FROM saved_tracks")
    assert found == {
        "account": found["account"], "files": ["plays.csv", "saved_tracks.csv"], "files_left_out": [],
        "rows": plays + len(saved), "plays_added": 0, "plays_known": plays, "removed_tracks_added": 0,
        "removed_tracks_known": removed, "skipped": {"repeated": 0, "still_saved": len(saved) - removed},
    }  # fmt: skip
    (path / "plays.csv").write_text("track_id,played_at\nx,y\n")
    failed = spotisync("import", str(path))
    assert (failed.code, "plays.csv, line 2: track_id is 'x'" in failed.err) == (1, True)


def test_the_commands_say_one_row_and_one_play(
    listened: Context, tmp_path: Path, make_settings: Callable[..., Any], simulator: Server
) -> None:
    spotisync = InProcess(environment(make_settings(simulator.url)))
    sql(listened, "DELETE FROM play_history WHERE played_at < (SELECT max(played_at) FROM play_history)")
    assert "plays.csv: 1 row\n" in spotisync("export", str(tmp_path / "out"), "--only", "plays").out
    sql(listened, "DELETE FROM play_history")
    path = str(tmp_path / "out" / "plays.csv")
    first, second = spotisync("import", path).out, spotisync("import", path).out
    assert first.startswith("Read 1 row of plays.csv.\nImported 1 play for ")
    assert "; 1 was already stored." in second


@pytest.mark.slow
def test_a_large_export_is_imported_in_batches(store: Store, tmp_path: Path) -> None:
    """100,000 plays in any order, of few tracks, several at once."""
    chance = random.Random(1)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    rows = {
        (f"{chance.randrange(50):022}", start + timedelta(seconds=chance.randrange(10**7))): chance.randrange(300_000)
        for _ in range(100_000)
    }
    lines = [
        json.dumps({"track_id": id_, "played_at": at.isoformat(), "ms_played": ms, "source": "import"})
        for (id_, at), ms in rows.items()
    ]
    chance.shuffle(lines)
    (tmp_path / "plays.jsonl").write_text("\n".join([*lines, *lines[:10]]))
    done = read(store, tmp_path / "plays.jsonl")
    assert (done.plays_added, done.skipped["repeated"]) == (len(rows), 10)
    found = store.sql("SELECT track_id, played_at, ms_played FROM play_history")
    assert {(row.track_id, row.played_at): row.ms_played for row in found} == rows
    assert read(store, tmp_path / "plays.jsonl").plays_added == 0
