"""Rows of an export: what is accepted, and how plays are merged."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.exported_rows import from_csv, merge_plays, parse_play, parse_save, table_of
from spotisync.core.plays import Play

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = "4uLU6hMCjMI75M1A2tKUQC"
OTHER = "0" * 22
PLAY = {"track_id": ID, "played_at": "2024-03-31T01:30:00.5+02:00", "ms_played": 5, "source": "recent"}
SAVE = {"track_id": ID, "added_at": "2024-01-01T00:00:00Z", "removed_at": None}


def test_a_row_has_its_play_and_its_track() -> None:
    row = {
        **PLAY,
        "name": "a\x00b",
        "artist_ids": [OTHER],
        "artists": ["X"],
        "album_id": OTHER,
        "album": "Y",
        "uri": "z",
    }
    found = parse_play(row, NOW)
    assert found.play == Play(ID, datetime(2024, 3, 30, 23, 30, 0, 500_000, tzinfo=UTC), "recent", 5)
    track = found.track.track
    assert (track.name, track.uri, track.artist_ids) == ("ab", f"spotify:track:{ID}", (OTHER,))
    assert (found.track.artists[0].name, found.track.album and found.track.album.name) == ("X", "Y")
    assert parse_play({"track_id": ID, "played_at": NOW}, NOW).play == Play(ID, NOW, "import")
    assert parse_save(SAVE, NOW).removed_at is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"track_id": None}, "track_id is None"),
        ({"track_id": "x'; DROP"}, "track_id is"),
        ({"played_at": None}, "played_at is empty"),
        ({"played_at": "31/03/2024 01:30"}, "played_at is '31/03/2024 01:30', not a time"),
        ({"played_at": "2024-03-31T01:30:00"}, "time zone"),
        ({"played_at": datetime(2024, 3, 31)}, "time zone"),  # noqa: DTZ001
        ({"played_at": "infinity"}, "not a time"),
        ({"played_at": "1969-12-31T23:59:59Z"}, "before 1970"),
        ({"played_at": "2026-01-03T00:00:00Z"}, "in the future"),
        ({"played_at": "0001-01-01T00:00:00+14:00"}, "not a time"),
        ({"played_at": 5}, "not a time"),
        ({"ms_played": -1}, "ms_played is -1"),
        ({"ms_played": 2**31}, "ms_played is 2147483648"),
        ({"ms_played": "1e3"}, "ms_played is '1e3'"),
        ({"ms_played": 1.5}, "ms_played is 1.5"),
        ({"ms_played": True}, "ms_played is True"),
        ({"source": "spotify"}, "source is 'spotify'"),
        ({"source": ["recent"]}, "source is"),
        ({"artist_ids": "a b"}, "no list"),
        ({"artist_ids": [None]}, "artist_ids is None"),
        ({"album_id": "../x"}, "album_id is"),
        ({"explicit": "yes"}, "explicit is 'yes'"),
        ({"explicit": {}}, "explicit is"),
        ({"played_at": "x" * 1_000}, "…"),
    ],
)
def test_an_invalid_value_is_named_with_its_column(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_play({**PLAY, **changed}, NOW)
    assert message in str(error.value)
    assert len(str(error.value)) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*PLAY, "artist_ids", "artists", "name", "album_id", "explicit"]), json_values))
def test_any_row_is_parsed_or_refused(row: dict[str, Any]) -> None:
    for parse in (parse_play, parse_save):
        for base in (row, {**PLAY, **SAVE, **row}):
            try:
                parse(base, NOW)
            except ValueError as error:
                assert str(error)


def test_undoes_what_csv_needed() -> None:
    cells = {"name": "'=1+1", "album": "'a", "isrc": "", "artist_ids": f"{ID} {OTHER}", "artists": "A; B"}
    assert from_csv(cells) == {
        "name": "=1+1", "album": "'a", "isrc": None, "artist_ids": [ID, OTHER], "artists": ["A", "B"],
    }  # fmt: skip
    assert from_csv({**cells, "artists": "A; B; C"})["artists"] == [None, None]
    assert from_csv({"artist_ids": "", "artists": ""})["artist_ids"] == []
    assert from_csv({"artist_ids": ID, "artists": ""})["artists"] == [None]


def test_knows_a_table_by_its_columns() -> None:
    assert table_of([*PLAY, "album"]) == "plays"
    assert table_of([*SAVE]) == "saved_tracks"
    assert table_of(["album_id", "added_at", "removed_at"]) is None


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_stored_play_keeps_its_values_and_gets_missing_ones() -> None:
    stored = [Play(ID, at(0), "recent", None, "context"), Play(ID, at(500), "import", 9)]
    rows = [Play(ID, at(0), "import", 200_000, "other"), Play(ID, at(500), "import", 400_000)]
    merged = merge_plays(stored, rows, {(play.track_id, play.played_at) for play in stored})
    assert merged.filled == [Play(ID, at(0), "recent", 200_000, "context")]
    assert (merged.added, merged.replaced, merged.known) == ([], [], 2)


def test_a_report_of_a_play_at_another_second_is_the_same_play() -> None:
    stored = [Play(ID, at(3), "recent", None, "context")]
    row = Play(ID, at(0), "import", 200_000)
    merged = merge_plays(stored, [row], set())
    assert (merged.added, merged.known) == ([], 1)
    assert merged.filled == [Play(ID, at(3), "recent", 200_000, "context")]


def test_reports_of_both_sources_complete_one_row() -> None:
    stored = Play(ID, at(0), "recent")
    rows = [Play(ID, at(1), "import", 30_000), Play(ID, at(2), "recent", 30_001, "context")]
    merged = merge_plays([stored], rows, set())
    assert merged.rows == [Play(ID, at(0), "recent", 30_001, "context")]
    assert merged.known == 2


def test_a_row_completed_by_one_source_is_moved_by_the_other() -> None:
    stored = Play(ID, at(0), "import", 40_000)  # cut to the minute
    rows = [Play(ID, at(-1), "import", 40_000, "context"), Play(ID, at(5), "recent", 40_000)]
    merged = merge_plays([stored], rows, set())
    assert merged.rows == [Play(ID, at(5), "import", 40_000, "context")]
    assert [play.played_at for play in merged.replaced] == [stored.played_at]


def test_a_completed_row_moves_a_stored_start_to_its_end() -> None:
    start, row = Play(ID, at(0), "recent", None, "context"), Play(ID, at(200), "recent", 200_000)
    merged = merge_plays([start], [row], set())
    assert merged.rows == [Play(ID, at(200), "recent", 200_000, "context")]
    assert merged.replaced == [start]


def test_rows_near_a_stored_play_are_not_merged_with_each_other() -> None:
    rows = [Play(ID, at(33), "import", 1_000), Play(ID, at(60), "import", 30_000)]
    merged = merge_plays([Play(ID, at(100), "recent")], rows, set())
    assert (merged.added, merged.known) == (rows, 0)


def test_a_play_that_became_a_row_is_compared_with_no_other_row() -> None:
    start = Play(ID, at(-54.5), "recent")
    rows = [Play(ID, at(0), "import", 30_000), Play(ID, at(6.5), "recent", 30_000)]
    merged = merge_plays([start], rows, set())
    assert sorted(merged.rows, key=lambda play: play.played_at) == rows
    assert merged.replaced == [start]


moments = st.integers(0, 300)
plays = st.builds(
    Play,
    track_id=st.sampled_from([ID, OTHER]),
    played_at=moments.map(at),
    source=st.sampled_from(["recent", "import"]),
    ms_played=st.none() | st.integers(0, 200_000),
)
unique = st.lists(plays, max_size=12, unique_by=lambda play: (play.track_id, play.played_at))


@given(unique, st.data())
def test_a_part_of_an_export_is_completed_without_loss(rows: list[Play], data: st.DataObject) -> None:
    """However near to each other its plays are."""
    stored = [play for play in rows if data.draw(st.booleans())]
    merged = merge_plays(stored, rows, {(play.track_id, play.played_at) for play in stored})
    assert (merged.filled, merged.replaced, merged.known) == ([], [], len(stored))
    assert sorted([*stored, *merged.added], key=repr) == sorted(rows, key=repr)


@given(unique, unique)
def test_every_row_is_added_or_known(stored: list[Play], rows: list[Play]) -> None:
    keys = {(play.track_id, play.played_at) for play in rows}
    in_file = {(play.track_id, play.played_at) for play in stored} & keys
    merged = merge_plays(stored, rows, in_file)
    assert len(merged.added) + merged.known >= len(rows)
    written = [(play.track_id, play.played_at) for play in merged.rows]
    assert len(written) == len(set(written))
    replaced = {(play.track_id, play.played_at) for play in merged.replaced}
    after = {(play.track_id, play.played_at) for play in stored} - replaced | set(written)
    assert in_file <= after
