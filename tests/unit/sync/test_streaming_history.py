"""Files of the privacy export on disk: found, read row by row, refused in words."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.errors import Fatal
from spotisync.simulator import World
from spotisync.sync import streaming_history
from spotisync.sync.streaming_history import iter_array, open_history, scan_file

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NAME = "Streaming_History_Audio_2024_0.json"
ROW = {"ts": "2024-01-01T00:00:00Z", "ms_played": 1, "spotify_track_uri": None}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Dribble(io.StringIO):
    """Returns so few characters at a time that every row is cut somewhere."""

    def read(self, size: int | None = -1, /) -> str:
        return super().read(7 if size and size > 0 else -1)


@given(st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=4), st.sampled_from([None, 2]))
@settings(max_examples=40)
def test_reads_members_one_by_one_at_any_chunk_boundaries(rows: list[Any], indent: int | None) -> None:
    assert list(iter_array(Dribble(json.dumps(rows, indent=indent)))) == rows


@pytest.mark.parametrize("text", ["", "{}", "null", "[", '[{"a": 1}', '[{"a": 1}, {"a"', "[}", "[nope]"])
def test_an_incomplete_array_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|array|Unterminated"):
        list(iter_array(io.StringIO(text)))


def read(path: Path) -> list[tuple[str, int]]:
    with open_history(path) as files:
        return [(file.name, scan_file(file, NOW).rows) for file in files]


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name, text)
    return path


def test_a_zip_a_directory_and_a_file_yield_the_same_rows(tmp_path: Path) -> None:
    whole = tmp_path / "my_spotify_data.zip"
    whole.write_bytes(World("tiny").export(rows_per_file=5))
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(tmp_path / "there")
    from_zip = read(whole)
    assert [rows for _, rows in from_zip] == [5, 5, 5, 1]
    assert read(tmp_path / "there") == from_zip
    assert read(tmp_path / "there" / from_zip[-1][0]) == [(Path(from_zip[-1][0]).name, 1)]


def test_ignores_a_byte_order_mark_and_other_files(tmp_path: Path) -> None:
    files = {NAME: b"\xef\xbb\xbf" + json.dumps([ROW]).encode(), f"__MACOSX/._{NAME}": b"\x00", "Read Me.pdf": b"%"}
    assert read(zipped(tmp_path / "x.zip", files)) == [(NAME, 1)]


def basic(path: Path) -> Path:
    return zipped(path, {"MyData/StreamingHistory_music_0.json": "[]", "MyData/Playlist1.json": "{}"})


def basic_file(path: Path) -> Path:
    path.write_text('[{"endTime": "2024-01-01 00:00", "artistName": "A", "trackName": "T", "msPlayed": 1}]')
    return path


def damaged(path: Path) -> Path:
    zipped(path, {NAME: json.dumps([ROW] * 500)})
    text = bytearray(path.read_bytes())
    text[60:70] = b"\xff" * 10
    path.write_bytes(bytes(text))
    return path


def encrypted(path: Path) -> Path:
    zipped(path, {NAME: json.dumps([ROW])})
    text = bytearray(path.read_bytes())
    text[text.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(text))
    return path


def nothing(path: Path) -> Path:
    path.mkdir()
    return path


BAD: list[tuple[Callable[[Path], Path], str]] = [
    (basic, "account data, whose history has no track ids: request the extended"),
    (basic_file, "account data, which has no track ids: request the extended"),
    (lambda path: zipped(path, {NAME: json.dumps([ROW, {"name": "x"}])}), f"{NAME} is not a streaming history"),
    (lambda path: zipped(path, {NAME: '[{"ts": 1'}), f"{NAME} can't be read"),
    (lambda path: zipped(path, {NAME: "[" * 100_000}), f"{NAME} can't be read"),
    (lambda path: zipped(path, {NAME: b"[\xff\xfe"}), f"{NAME} can't be read"),
    (lambda path: zipped(path, {NAME: '[{"ts": "' + "x" * 3_000_000}), f"{NAME} can't be read"),
    (lambda path: zipped(path, {"photos.txt": "x"}), "contains no Streaming_History_Audio"),
    (damaged, f"{NAME} can't be read"),
    (encrypted, "encrypted"),
    (nothing, "contains no Streaming_History_Audio"),
    (lambda path: zipped(path, {f"endsong_{n}.json": "[]" for n in range(1_001)}), "1,001 history files"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=range(len(BAD)))
def test_names_a_wrong_file_and_what_to_request_instead(
    make: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Fatal, match=words):
        read(make(tmp_path / "x.zip"))


def test_rejects_a_file_that_expands_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_history, "MAX_FILE_BYTES", 1_000)
    with pytest.raises(Fatal, match="exports contain no file of this size"):
        read(zipped(tmp_path / "bomb.zip", {NAME: b"[" + b" " * 2_000 + b"]"}))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / NAME
    path.write_text(json.dumps([ROW | {"platform": "x" * 500}] * 20_000))
    with open_history(path) as files:
        tracemalloc.start()
        try:
            assert scan_file(files[0], NOW).rows == 20_000
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < path.stat().st_size / 10
