"""Rows and files of the streaming history, in all known forms."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spotisync.core import streaming_history
from spotisync.core.streaming_history import HistoryFileSummary, ImportedPlay

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ID = "4rOoJ6Egrf8K2IrywzwOMk"
ROW: dict[str, Any] = {
    "ts": "2025-04-11T00:27:53Z",
    "ms_played": 174_674,
    "ip_addr": "192.0.2.1",
    "master_metadata_track_name": "A song",
    "spotify_track_uri": f"spotify:track:{ID}",
    "offline": False,
    "offline_timestamp": None,
}
TS = datetime(2025, 4, 11, 0, 27, 53, tzinfo=UTC)


def heard(**changes: Any) -> ImportedPlay:
    found = streaming_history.parse_play(ROW | changes, NOW)
    assert isinstance(found, ImportedPlay)
    return found


def test_a_row_is_a_play_that_ended_at_its_timestamp() -> None:
    found = heard()
    assert (found.play.track_id, found.play.played_at, found.play.ms_played) == (ID, TS, 174_674)
    assert found.play.source == "import"
    assert (found.track.id, found.track.name, found.track.uri) == (ID, "A song", f"spotify:track:{ID}")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"spotify_track_uri": None, "spotify_episode_uri": "spotify:episode:x"}, "podcasts"),
        ({"spotify_track_uri": None, "episode_name": "x"}, "podcasts"),
        ({"spotify_track_uri": None, "audiobook_uri": "spotify:show:x"}, "audiobooks"),
        ({"spotify_track_uri": None}, "without_track"),
        ({"spotify_track_uri": "spotify:local:a:b:c:1"}, "without_track"),
        ({"spotify_track_uri": f"spotify:track:{ID}/../x"}, "without_track"),
        ({"spotify_track_uri": 5}, "without_track"),
        ({"ts": None}, "unreadable"),
        ({"ts": "1970-01-01T00:00:00Z"}, "unreadable"),
        ({"ts": "2031-01-01T00:00:00Z"}, "unreadable"),
        ({"ms_played": "long"}, "unreadable"),
    ],
)
def test_rows_that_are_no_plays_are_counted_by_kind(changes: dict[str, Any], why: str) -> None:
    assert streaming_history.parse_play(ROW | changes, NOW) == why


@pytest.mark.parametrize("unit", [1, 1000])
def test_an_offline_play_takes_the_time_noted_by_the_device(unit: int) -> None:
    began = TS - timedelta(hours=3)
    found = heard(offline=True, offline_timestamp=int(began.timestamp()) * unit)
    assert found.play.played_at == began + timedelta(milliseconds=174_674)


@pytest.mark.parametrize("noted", [0, None, True, "x", -5, 1, 10**30, float("nan"), int(TS.timestamp()) + 9_000])
def test_an_offline_play_with_an_impossible_time_uses_its_timestamp(noted: Any) -> None:
    assert heard(offline=True, offline_timestamp=noted).play.played_at == TS


def test_ignores_the_device_time_of_an_online_play() -> None:
    assert heard(offline_timestamp=int(TS.timestamp()) - 90_000).play.played_at == TS


@pytest.mark.parametrize(
    ("name", "extended", "number"),
    [
        ("Streaming_History_Audio_2014-2016_0.json", True, 0),
        ("Streaming_History_Audio_2024_12.json", True, 12),
        ("Streaming_History_Audio_2024.json", True, None),
        ("endsong_3.json", True, 3),
        ("._Streaming_History_Audio_2024_1.json", False, None),
        ("Streaming_History_Video_2024.json", False, None),
        ("StreamingHistory_music_0.json", False, None),
        ("Streaming_History_Audio_2024_12.json.exe", False, None),
    ],
)
def test_recognises_files_by_their_names(name: str, extended: bool, number: int | None) -> None:
    assert bool(streaming_history.EXTENDED.fullmatch(name)) == extended
    assert streaming_history.file_number(name) == number


def part(number: int | None, first: int, last: int, *, in_order: bool = True) -> HistoryFileSummary:
    return HistoryFileSummary("x", number, 5, TS + timedelta(days=first), TS + timedelta(days=last), in_order)


def days(*parts: HistoryFileSummary) -> list[tuple[int, int]]:
    return [((first - TS).days, (last - TS).days) for first, last in streaming_history.covered_spans(parts)]


def test_consecutive_files_form_one_span() -> None:
    assert days(part(1, 10, 20), part(0, 0, 9), part(2, 21, 30)) == [(0, 30)]
    assert days(part(0, 0, 9), part(2, 21, 30)) == [(0, 9), (21, 30)]
    assert days(part(None, 3, 5)) == [(3, 5)]
    assert days() == []
    assert days(HistoryFileSummary("x", 0, 0, None, None, True)) == []


def test_unordered_files_prove_a_span_only_if_the_first_one_is_there() -> None:
    assert days(part(0, 0, 30, in_order=False), part(1, 2, 31, in_order=False)) == [(0, 31)]
    assert days(part(1, 0, 30, in_order=False), part(2, 2, 31, in_order=False)) == []
