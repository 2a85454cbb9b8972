"""Rows and files of the streaming history, in all known forms."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spotisync.core import streaming_history
from spotisync.core.streaming_history import HistoryFileSummary, ImportedPlay, NamedPlay

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


@pytest.mark.parametrize(("sent", "ms"), [("174674", 174_674), ("-1", 0), (-1, 0), (1.5, 1)])
def test_a_duration_may_be_text_or_negative(sent: Any, ms: int) -> None:
    assert heard(ms_played=sent).play.ms_played == ms


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
        ({"ms_played": "9999999999"}, "unreadable"),
    ],
)
def test_rows_that_are_no_plays_are_counted_by_kind(changes: dict[str, Any], why: str) -> None:
    assert streaming_history.parse_play(ROW | changes, NOW) == why


@pytest.mark.parametrize("unit", [1, 1000])
def test_an_offline_play_takes_the_time_noted_by_the_device(unit: int) -> None:
    began = TS - timedelta(hours=3)
    found = heard(offline=True, offline_timestamp=int(began.timestamp()) * unit)
    assert found.play.played_at == began + timedelta(milliseconds=174_674)


# The last but one is the last second of the year 9999.
@pytest.mark.parametrize(
    "noted", [0, None, True, "x", -5, 1, 10**30, float("nan"), 253_402_300_799_000, int(TS.timestamp()) + 9_000]
)
def test_an_offline_play_with_an_impossible_time_uses_its_timestamp(noted: Any) -> None:
    assert heard(offline=True, offline_timestamp=noted).play.played_at == TS


def test_ignores_the_device_time_of_an_online_play() -> None:
    assert heard(offline_timestamp=int(TS.timestamp()) - 90_000).play.played_at == TS


@pytest.mark.parametrize(
    ("name", "history", "number", "audio"),
    [
        ("Streaming_History_Audio_2014-2016_0.json", True, 0, True),
        ("Streaming_History_Audio_2024_12.json", True, 12, True),
        ("Streaming_History_Audio_2024.json", True, None, True),
        ("Streaming_History_Audio_2024_12 (1).JSON", True, 12, True),
        ("endsong.json", True, None, True),
        ("endsong_3.json", True, 3, True),
        ("endsong (1).json", True, None, True),
        ("endsong_3(2).json", True, 3, True),
        ("endsong_3 - Copy.json", True, 3, True),
        ("endsong_3 - Copy (2).json", True, 3, True),
        ("endsong_3 (copy).json", True, 3, True),
        ("endsong_3 copy 2.json", True, 3, True),
        ("Copy of endsong_3.json", True, 3, True),
        ("ENDSONG_3.JSON", True, 3, True),
        ("Streaming_History_Video_2024.json", True, None, False),
        ("Streaming_History_Video_2018-2024_1 (1).json", True, 1, False),
        ("StreamingHistory0.json", True, None, False),
        ("StreamingHistory_music_0 - Copy.json", True, None, False),
        ("._Streaming_History_Audio_2024_1.json", False, None, False),
        ("endsong_3.json.exe", False, None, False),
        ("endsong_3", False, None, False),
        ("Playlist1.json", False, None, False),
    ],
)
def test_recognises_files_by_their_names(name: str, history: bool, number: int | None, audio: bool) -> None:
    assert streaming_history.is_history_name(name) == history
    assert streaming_history.file_number(name) == number
    assert streaming_history.covers_audio(f"folder/{name}") == audio


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, NamedPlay("Song", "Band", datetime(2024, 2, 29, 23, 59, tzinfo=UTC), 180_000)),
        ({"msPlayed": "7"}, NamedPlay("Song", "Band", datetime(2024, 2, 29, 23, 59, tzinfo=UTC), 7)),
        ({"msPlayed": -1}, NamedPlay("Song", "Band", datetime(2024, 2, 29, 23, 59, tzinfo=UTC), 0)),
        ({"trackName": ""}, "without_track"),
        ({"artistName": None}, "without_track"),
        ({"podcastName": "Pod", "episodeName": "One"}, "podcasts"),
        ({"audiobookName": "Book"}, "audiobooks"),
        ({"endTime": "yesterday"}, "unreadable"),
        ({"endTime": "2031-01-01 00:00"}, "unreadable"),
        ({"msPlayed": None}, "unreadable"),
    ],
)
def test_a_row_of_the_account_data_has_names_and_minutes(changes: dict[str, Any], found: Any) -> None:
    row = {"endTime": "2024-02-29 23:59", "artistName": "Band", "trackName": "Song", "msPlayed": 180_000}
    assert streaming_history.parse_play(row | changes, NOW) == found


def test_a_row_of_a_video_with_a_track_is_a_play() -> None:
    assert heard(spotify_episode_uri=None, episode_name="Live").play.track_id == ID


def part(number: int | None, first: int, last: int, *, in_order: bool = True) -> HistoryFileSummary:
    return HistoryFileSummary(
        "endsong.json", number, 5, TS + timedelta(days=first), TS + timedelta(days=last), in_order
    )


def days(*parts: HistoryFileSummary) -> list[tuple[int, int]]:
    return [((first - TS).days, (last - TS).days) for first, last in streaming_history.covered_spans(parts)]


def test_consecutive_files_form_one_span() -> None:
    assert days(part(1, 10, 20), part(0, 0, 9), part(2, 21, 30)) == [(0, 30)]
    assert days(part(0, 0, 9), part(2, 21, 30)) == [(0, 9), (21, 30)]
    assert days(part(None, 3, 5)) == [(3, 5)]
    assert days() == []
    assert days(HistoryFileSummary("endsong_0.json", 0)) == []


def test_unordered_files_prove_a_span_only_if_the_first_one_is_there() -> None:
    assert days(part(0, 0, 30, in_order=False), part(1, 2, 31, in_order=False)) == [(0, 31)]
    assert days(part(1, 0, 30, in_order=False), part(2, 2, 31, in_order=False)) == []


def test_copies_and_other_kinds_of_files_do_not_change_a_span() -> None:
    assert days(part(0, 0, 9), part(0, 0, 9), part(1, 10, 20), part(1, 10, 20)) == [(0, 20)]
    video = HistoryFileSummary("Streaming_History_Video_2024.json", None, 5, TS, TS + timedelta(days=9))
    assert days(video, part(1, 10, 20)) == [(10, 20)]
