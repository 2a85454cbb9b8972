"""Files of the streaming history on disk: found, read row by row, refused in words."""

import errno
import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from spotisync.errors import Fatal
from spotisync.simulator import World
from spotisync.sync import archives
from spotisync.sync.streaming_history import HistoryArchive, open_history

NAME = "Streaming_History_Audio_2024_0.json"
ROW = {"ts": "2024-01-01T00:00:00Z", "ms_played": 1, "spotify_track_uri": None}
ACCOUNT_ROW = {"endTime": "2024-01-01 00:00", "artistName": "A", "trackName": "T", "msPlayed": 1}
ONE = json.dumps([ROW])
Content = Mapping[str, str | bytes]


def read(path: Path) -> list[tuple[str, int]]:
    with open_history(path) as history:
        return [(file.name, sum(1 for _ in file.rows())) for file in history.files]


def find(path: Path) -> HistoryArchive:
    with open_history(path) as history:
        return history


def zip_bytes(files: Content) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name, text)
    return buffer.getvalue()


def zipped(path: Path, files: Content) -> Path:
    path.write_bytes(zip_bytes(files))
    return path


def unpacked(path: Path, files: Content) -> Path:
    for name, text in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_zip_a_directory_and_a_file_yield_the_same_rows(tmp_path: Path) -> None:
    whole = tmp_path / "my_spotify_data.zip"
    whole.write_bytes(World("tiny").export(rows_per_file=5))
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(tmp_path / "there")
    from_zip = read(whole)
    assert [rows for _, rows in from_zip] == [0, 5, 5, 5, 1]
    assert read(tmp_path / "there") == from_zip
    assert read(tmp_path / "there" / from_zip[-1][0]) == [(Path(from_zip[-1][0]).name, 1)]


FILES: Content = {
    f"Spotify/{NAME}": ONE,
    "Spotify/Streaming_History_Video_2024.json": ONE,
    "Spotify/deep/er/endsong (1).json": ONE,
    "Spotify/endsong_2 - Copy.JSON": ONE,
    "Spotify/renamed by me.json": ONE,
    "Spotify/StreamingHistory_music_0.json": json.dumps([ACCOUNT_ROW]),
    "Spotify/ReadMeFirst.pdf": b"%",
    "Spotify/Playlist1.json": json.dumps({"playlists": []}),
    "Spotify/broken.json": "[{",
    f"__MACOSX/._{NAME}": b"\x00",
    f"Spotify/._{NAME}": b"\x00",
    ".Trash/endsong_9.json": ONE,
}


@pytest.mark.parametrize("make", [zipped, unpacked])
def test_finds_all_files_of_people_and_names_the_others(make: Callable[[Path, Content], Path], tmp_path: Path) -> None:
    history = find(make(tmp_path / "x.zip", FILES))
    assert sorted(file.name for file in history.files) == sorted(list(FILES)[:6])
    assert sorted(history.left_out) == sorted(list(FILES)[6:9])


def test_finds_files_in_a_zip_with_backslashes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {f"Spotify Data\\{NAME}": ONE, "Spotify Data\\": "", "Spotify Data\\a.pdf": "x"})
    assert read(path) == [(f"Spotify Data/{NAME}", 1)]
    assert find(path).left_out == ["Spotify Data/a.pdf"]


@pytest.mark.parametrize("name", [f"./{NAME}", f"a/./{NAME}", f"../../{NAME}", f"..\\{NAME}"])
def test_finds_files_in_a_zip_below_a_dot(name: str, tmp_path: Path) -> None:
    assert read(zipped(tmp_path / "x.zip", {name: ONE})) == [(name.replace("\\", "/"), 1)]


def test_finds_files_in_a_zip_within_a_zip_or_a_directory(tmp_path: Path) -> None:
    inner = zip_bytes({f"a/{NAME}": ONE})
    assert read(zipped(tmp_path / "x.zip", {"my data/inner.ZIP": inner})) == [(f"my data/inner.ZIP/a/{NAME}", 1)]
    assert read(unpacked(tmp_path / "y", {"deep/inner.zip": inner})) == [(f"deep/inner.zip/a/{NAME}", 1)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_reads_concatenated_files_of_any_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "all my songs.txt"
    path.write_bytes(f"{ONE}\r\n{ONE}".encode(encoding))
    assert read(path) == [("all my songs.txt", 2)]


def damaged(path: Path) -> Path:
    zipped(path, {NAME: json.dumps([ROW] * 500)})
    text = bytearray(path.read_bytes())
    text[60:70] = b"\xff" * 10
    path.write_bytes(bytes(text))
    return path


def encrypted(path: Path) -> Path:
    zipped(path, {NAME: ONE})
    text = bytearray(path.read_bytes())
    text[text.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(text))
    return path


def nothing(path: Path) -> Path:
    path.mkdir()
    return path


def cut(path: Path) -> Path:
    path.write_bytes(zip_bytes({NAME: ONE})[:-30])
    return path


def link(path: Path) -> Path:
    unpacked(path, {"elsewhere.txt": ONE})
    (path / NAME).symlink_to(path / "elsewhere.txt")
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def pipe_in_directory(path: Path) -> Path:
    path.mkdir()
    os.mkfifo(path / NAME)
    return path


def many_zips(path: Path) -> Path:
    inner = zip_bytes({NAME: ONE})
    for _ in range(4):
        inner = zip_bytes({"inner.zip": inner})
    path.write_bytes(inner)
    return path


BAD: list[tuple[Callable[[Path], Path], str]] = [
    (lambda path: zipped(path, {NAME: json.dumps([ROW, {"name": "x"}])}), f"{NAME} is not a streaming history"),
    (lambda path: zipped(path, {NAME: json.dumps([ROW, None])}), f"{NAME} is not a streaming history"),
    (lambda path: zipped(path, {NAME: '[{"ts": 1'}), f"{NAME} can't be read .*premature EOF"),
    (lambda path: zipped(path, {NAME: f"{ONE} and more"}), f"{NAME} can't be read .*invalid"),
    (lambda path: zipped(path, {NAME: ONE + '{"a": 1}'}), f"{NAME} can't be read .*something follows"),
    (lambda path: zipped(path, {"StreamingHistory0.json": ""}), r"StreamingHistory0\.json can't be read"),
    (lambda path: zipped(path, {NAME: b"[\xff\xfe"}), f"{NAME} can't be read"),
    (lambda path: zipped(path, {"photos.txt": "x"}), "contains no Streaming_History_Audio"),
    (damaged, f"{NAME} can't be read"),
    (encrypted, f"{NAME} is encrypted"),
    (cut, r"x\.zip can't be read"),
    (lambda path: zipped(path, {"inner.zip": "no zip"}), r"inner\.zip can't be read"),
    (lambda path: unpacked(path, {"inner.zip": "no zip"}), r"inner\.zip can't be read"),
    (many_zips, r"inner\.zip is a zip file in 3 others"),
    (link, f"{NAME} is a link"),
    (pipe, r"x\.zip is no regular file"),
    (pipe_in_directory, "contains no Streaming_History_Audio"),
    (nothing, "contains no Streaming_History_Audio"),
    (lambda path: zipped(path, {f"endsong_{n}.json": "[]" for n in range(1_001)}), "1,001 history files"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=range(len(BAD)))
def test_names_a_wrong_file_and_what_to_do(make: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=words):
        read(make(tmp_path / "x.zip"))


def test_skips_pipes_and_names_them(tmp_path: Path) -> None:
    path = unpacked(tmp_path / "history", {NAME: ONE})
    os.mkfifo(path / "Streaming_History_Audio_2020_1.json")
    os.mkfifo(path / "my_spotify_data.zip")
    with open_history(path) as archive:
        assert [file.name for file in archive.files] == [NAME]
        assert archive.left_out == [
            "Streaming_History_Audio_2020_1.json (is no regular file)",
            "my_spotify_data.zip (is no regular file)",
        ]


@pytest.mark.parametrize(("owner", "name"), [(os, "scandir"), (Path, "is_symlink")])
def test_names_a_directory_that_can_not_be_read(owner: Any, name: str, tmp_path: Path, monkeypatch: Any) -> None:
    """As for a user who may not read it, or not enter it; root may."""
    path, original = unpacked(tmp_path / "history", {NAME: ONE, f"private/{NAME}": ONE}), getattr(owner, name)

    def deny(path: Any) -> Any:
        if "private" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(owner, name, deny)
    with pytest.raises(Fatal, match=r"private.* can't be read \(Permission denied\); let this user read it"):
        read(path)


def test_rejects_a_file_that_expands_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 1_000)
    with pytest.raises(Fatal, match="contain no file of this size"):
        read(zipped(tmp_path / "bomb.zip", {NAME: b"[" + b" " * 2_000 + b"]"}))


def test_rejects_a_zip_that_expands_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 5_000)
    inner = zip_bytes({f"endsong_{number}.json": "[" + " " * 900 + "]" for number in range(3)})
    with pytest.raises(Fatal, match=r"bomb\.zip unpacks to more than 5,000 bytes"):
        read(zipped(tmp_path / "bomb.zip", {"a.zip": inner, "b.zip": inner}))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_export(tmp_path: Path) -> None:
    import tracemalloc

    row: dict[str, Any] = ROW | {"platform": "x" * 300, "spotify_track_uri": "spotify:track:4rOoJ6Egrf8K2IrywzwOMk"}
    path = zipped(tmp_path / "x.zip", {"inner.zip": zip_bytes({NAME: json.dumps([row] * 100_000)})})
    tracemalloc.start()
    try:
        assert read(path) == [(f"inner.zip/{NAME}", 100_000)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
