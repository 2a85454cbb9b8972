"""An export that is damaged at any byte is read or refused in one sentence, whatever its format."""

import io
import random
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spotisync.core.exported_rows import parse_play, parse_save
from spotisync.errors import Fatal
from spotisync.simulator import Server
from spotisync.sync import Context, archives
from spotisync.sync.export import Export
from spotisync.sync.export_files import is_export, open_export
from spotisync.sync.parquet import require_pyarrow
from tests.integration.sync.test_export import silent, synced
from tests.integration.sync.test_import_export import FORMATS, listened

assert synced  # a fixture
assert listened  # a fixture

NOW = datetime(2100, 1, 1, tzinfo=UTC)
LONGEST_MESSAGE = 600


@pytest.fixture
def exports(listened: Context, tmp_path: Path) -> dict[str, bytes]:
    """The content of a file of each format, and of a zip file."""
    found = {}
    for each in FORMATS:
        Export(listened.database, None, each, silent, removed=True).to_directory(["plays", "saved_tracks"], tmp_path)
        for table in ("plays", "saved_tracks"):
            found[f"{table}.{each}"] = (tmp_path / f"{table}.{each}").read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("plays.parquet", found["plays.parquet"])
        file.writestr("saved_tracks.csv", found["saved_tracks.csv"])
    return {**found, "export.zip": packed.getvalue()}


def read(path: Path) -> int:
    if not is_export(path):
        return 0
    parse: dict[str, Any] = {"plays": parse_play, "saved_tracks": parse_save}
    with open_export(path) as archive:
        return sum(1 for file in archive.files for _ in file.parse(partial(parse[file.table], now=NOW)))


def damage(content: bytes, chance: random.Random) -> bytes:
    place, count = chance.randrange(len(content)), chance.randint(1, 40)
    return chance.choice(
        [
            content[:place] + chance.randbytes(1) + content[place + 1 :],
            content[:place] + chance.randbytes(count) + content[place:],
            content[:place] + content[place + count :],
            content[:place],
            content[:place] + content[:count] + content[place + count :],
        ]
    )


def check(exports: dict[str, bytes], directory: Path, number: int) -> None:
    chance, refused = random.Random(number), 0
    for _ in range(number):
        name = chance.choice([*exports])
        path = directory / name
        path.write_bytes(damage(exports[name], chance))
        try:
            read(path)
        except Fatal as error:
            refused += 1
            assert "\n" not in str(error), name
            assert len(str(error)) < LONGEST_MESSAGE, name
    assert refused > number // 4


def test_a_damaged_export_is_read_or_refused(exports: dict[str, bytes], tmp_path: Path, simulator: Server) -> None:
    assert all(read_whole(exports, tmp_path))
    check(exports, tmp_path, 150)


@pytest.mark.slow
def test_thousands_of_damaged_exports_are_read_or_refused(exports: dict[str, bytes], tmp_path: Path) -> None:
    check(exports, tmp_path, 5_000)


def read_whole(exports: dict[str, bytes], directory: Path) -> list[int]:
    for name, content in exports.items():
        (directory / name).write_bytes(content)
    return [read(directory / name) for name in exports]


def test_an_export_that_expands_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip bomb, also one that declares a smaller size than it has."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("plays.jsonl", b" " * 3_000_000 + b"\n")
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_FILE_BYTES", 1_000_000)
        with pytest.raises(Fatal, match="contain no file of this size"):
            read(path)
    with pytest.raises(Fatal, match="is longer than 1,048,576 characters"):
        read(path)
    path.write_bytes(path.read_bytes().replace((3_000_001).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with suppress(Fatal):
        assert read(path) == 0


def test_a_time_zone_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    pyarrow, path = require_pyarrow(), tmp_path / "plays.parquet"
    times = pyarrow.array([1], pyarrow.timestamp("us", "Mars/Olympus"))
    pyarrow.parquet.write_table(pyarrow.table({"track_id": ["x" * 22], "played_at": times}), path)
    with pytest.raises(Fatal, match=r"plays\.parquet: no readable Parquet file .*Mars/Olympus"):
        read(path)
