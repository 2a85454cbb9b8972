"""Playlists and saved tracks as M3U8 and JSPF files."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from spotisync.core.tables import PlaylistFormat
from spotisync.errors import Fatal, Unknown
from spotisync.simulator import Server
from spotisync.sync import Context
from spotisync.sync.playlist_files import PlaylistExport
from tests.integration.sync.test_export import silent, synced
from tests.integration.sync.test_playback import sql
from tests.support.store import Store
from tests.system.command_line import SPOTISYNC, InProcess
from tests.system.programs import environment

assert synced  # a fixture

SAVED = """SELECT t.uri FROM saved_tracks JOIN tracks t ON t.id = track_id WHERE removed_at IS NULL
    ORDER BY added_at DESC, track_id"""


def make_export(context: Any, format_: PlaylistFormat = "m3u8", **fields: Any) -> PlaylistExport:
    return PlaylistExport(context.database, None, format_, silent, **fields)


def uris(path: Path) -> list[str]:
    if path.suffix == ".jspf":
        return [track["location"][0] for track in json.loads(path.read_text())["playlist"]["track"]]
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("format_", ["m3u8", "jspf"])
def test_playlist_files_contain_what_the_tables_contain(
    synced: Context, tmp_path: Path, format_: PlaylistFormat
) -> None:
    written = make_export(synced, format_).to_directory(tmp_path)
    playlists = sql(synced, "SELECT playlist_id FROM account_playlists WHERE removed_at IS NULL ORDER BY position")
    assert [each.playlist.id for each in written] == [None, *(row.playlist_id for row in playlists)]
    for each in written:
        if each.unread:
            continue
        assert each.path
        items = sql(
            synced,
            f"""SELECT COALESCE(i.uri, t.uri) AS uri FROM playlist_items i LEFT JOIN tracks t ON t.id = track_id
            WHERE playlist_id = '{each.playlist.id}' AND COALESCE(i.uri, t.uri) IS NOT NULL ORDER BY position"""
            if each.playlist.id
            else SAVED,
        )
        assert uris(each.path) == [row.uri for row in items]
        assert each.entries == len(items)
        assert each.path.stat().st_mode & 0o777 == 0o600
    assert set(tmp_path.iterdir()) == {each.path for each in written if each.path}


def test_an_unread_playlist_gets_no_empty_file(store: Store, tmp_path: Path) -> None:
    for id_, total, status in (("read", 0, "synced"), ("unread", 9, "forbidden"), ("unknown", None, "pending")):
        store.sql(
            """INSERT INTO playlists (id, name, collaborative, snapshot_id, total_items)
            VALUES (:id, 'Mix', false, '', :total)""",
            id=id_,
            total=total,
        )
        store.sql(
            """INSERT INTO account_playlists (account_id, playlist_id, position, items_status)
            VALUES (:account, :id, 0, :status)""",
            account=store.account_id,
            id=id_,
            status=status,
        )
    written = make_export(store).to_directory(tmp_path)
    assert {each.playlist.id: each.unread for each in written} == {
        None: None, "read": None, "unread": "forbidden", "unknown": "pending",
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"Saved tracks.m3u8", "Mix (read).m3u8"}
    with pytest.raises(Fatal, match="forbidden"):
        make_export(store, saved_tracks=False, names=("unread",)).to_stream(io.BytesIO())
    with pytest.raises(Fatal, match=r"these match: Mix \(read\), Mix \(unknown\)"):
        make_export(store, saved_tracks=False, names=("mix",)).to_stream(io.BytesIO())


def test_chooses_a_playlist_by_id_address_or_name(synced: Context) -> None:
    (first, *_) = sql(synced, "SELECT id, name FROM playlists WHERE items_snapshot_id IS NOT NULL ORDER BY id")
    sql(synced, "UPDATE playlists SET name = 'An own Name' WHERE id = (SELECT min(id) FROM playlists)")
    written = []
    for name in (
        first.id,
        f"spotify:playlist:{first.id}",
        f"https://open.spotify.com/intl-de/playlist/{first.id}?si=1",
        " an OWN name",
    ):
        stream = io.BytesIO()
        make_export(synced, saved_tracks=False, names=(name,)).to_stream(stream)
        written.append(stream.getvalue())
    assert len(set(written)) == 1
    assert written[0].startswith(b"#EXTM3U\n#PLAYLIST:An own Name\n")
    with pytest.raises(Unknown, match="export - --only playlists"):
        make_export(synced, names=("nothing",)).to_stream(io.BytesIO())


def test_the_export_command_writes_playlists(
    synced: Context, tmp_path: Path, make_settings: Callable[..., Any], simulator: Server
) -> None:
    spotisync = InProcess(environment(make_settings(simulator.url)))
    out = tmp_path / "out"
    done = spotisync("export", str(out), "--format", "m3u8", "--json")
    assert done.code == 0, done.err
    assert {each["file"] for each in done.json if each["file"]} == {str(path) for path in out.iterdir()}
    (one,) = spotisync("export", str(out), "--format", "jspf", "--only", "saved_tracks", "--json").json
    assert one == {
        "playlist": None, "name": "Saved tracks", "file": str(out / "Saved tracks.jspf"), "reason": None,
        "rows": len(sql(synced, SAVED)),
    }  # fmt: skip
    chosen = spotisync("export", str(out), "--format", "m3u8", "--playlist", done.json[1]["playlist"], "--json").json
    assert [each["playlist"] for each in chosen] == [done.json[1]["playlist"]]
    for wrong in (
        ("--playlist", "x"),
        ("--format", "m3u8", "--removed"),
        ("--format", "m3u8", "--only", "plays"),
        ("--format", "m3u8", "--playlist", "no such playlist"),
    ):
        assert spotisync("export", str(out), *wrong).code == 2
    assert spotisync("export", "-", "--format", "jspf").code == 2


def test_the_export_command_writes_to_stdout(
    synced: Context, tmp_path: Path, make_settings: Callable[..., Any], simulator: Server
) -> None:
    env = environment(make_settings(simulator.url))

    def output(*words: str) -> bytes:
        return subprocess.run([*SPOTISYNC, *words], env=env, check=True, capture_output=True).stdout

    saved = [row.uri for row in sql(synced, SAVED)]
    lines = output("export", "-", "--format", "m3u8", "--only", "saved_tracks").decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == saved
    (tmp_path / "saved.parquet").write_bytes(output("export", "-", "--format", "parquet", "--only", "saved_tracks"))
    with duckdb.connect() as duck:
        assert duck.execute(f"SELECT uri FROM '{tmp_path}/saved.parquet'").fetchall() == [(uri,) for uri in saved]
    assert output("report", "-").startswith(b"<!doctype html>")
