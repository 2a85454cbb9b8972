"""Names and contents of playlist files."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.playlist_files import PlaylistEntry, PlaylistHeading, file_name, render

ID = "37i9dQZF1DX0XUsuxWHRQd"
SONG = PlaylistEntry("spotify:track:4uLU6hMCjMI75M1A2tKUQC", "Song", ("A", "B"), "Album", 213_573, 3, None)


def name_of(name: str | None) -> str:
    found = file_name(PlaylistHeading(ID, name), "m3u8")
    assert found.endswith(f" ({ID}).m3u8")
    return found.removesuffix(f" ({ID}).m3u8")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Road trip", "Road trip"),
        ("AC/DC: best?", "AC_DC_ best_"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "playlist"),
        (".hidden", "hidden"),
        ("--help", "help"),
        ("trailing. . ", "trailing"),
        ("a\tb\nc\x00d", "a b c d"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("\u200b\u2066\u2069", "playlist"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("Lpt1 .x", "_Lpt1 .x"),
        ("console", "console"),
        ("Cafe\u0301", "Café"),
        ("日本 🎵", "日本 🎵"),
        ("", "playlist"),
        (None, "playlist"),
    ],
)
def test_file_names_are_safe(name: str | None, wanted: str) -> None:
    assert name_of(name) == wanted


@given(st.text(max_size=300))
def test_any_name_gives_a_safe_file_name(name: str) -> None:
    found = file_name(PlaylistHeading(ID, name), "jspf")
    assert len(found.encode()) <= 255 - len(".") - len(".4194304")  # with the temporary name
    assert not set(found) & set('<>:"/\\|?*')
    assert found[0] not in ".-~ "
    assert not {unicodedata.category(each) for each in found} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert found == file_name(PlaylistHeading(ID, name), "jspf")


def test_names_that_differ_in_case_get_two_files() -> None:
    names = {file_name(PlaylistHeading(id_, name), "m3u8").casefold() for id_, name in (("a1", "MIX"), ("b2", "mix"))}
    assert len(names) == 2
    assert file_name(PlaylistHeading("../x", "a"), "m3u8") == "a (___x).m3u8"
    assert file_name(PlaylistHeading(None, None), "jspf") == "Saved tracks.jspf"


def text(format_: Any, *entries: PlaylistEntry, name: str | None = "Mix", **fields: Any) -> str:
    return "".join(render(format_, PlaylistHeading(ID, name, **fields), entries))


def test_m3u8_has_seconds_artists_and_title() -> None:
    local = PlaylistEntry("spotify:local:A:B:C:10", "C", duration_ms=None)
    assert text("m3u8", SONG, local) == (
        "#EXTM3U\n#PLAYLIST:Mix\n#EXTINF:214,A, B - Song\nspotify:track:4uLU6hMCjMI75M1A2tKUQC\n"
        "#EXTINF:-1,C\nspotify:local:A:B:C:10\n"
    )


def test_a_name_cannot_add_lines_to_an_m3u8_file() -> None:
    evil = "x\r\nfile:///etc/passwd\u2028#EXTINF:1,\x85y"
    entry = PlaylistEntry("spotify:track:1\nfile:///x", evil, (evil,), evil)
    lines = text("m3u8", entry, name=evil).splitlines()
    assert len(lines) == 4
    assert lines[3] == "spotify:track:1 file:///x"


def test_jspf_is_json_with_all_that_is_known() -> None:
    entry = PlaylistEntry(**{**vars(SONG), "added_at": datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2)))})
    found = json.loads(text("jspf", entry, PlaylistEntry("spotify:local:x", None), owner="Ann", description="d"))
    assert found == {
        "playlist": {
            "title": "Mix",
            "creator": "Ann",
            "annotation": "d",
            "info": f"https://open.spotify.com/playlist/{ID}",
            "identifier": f"spotify:playlist:{ID}",
            "track": [
                {
                    "location": ["spotify:track:4uLU6hMCjMI75M1A2tKUQC"],
                    "identifier": ["spotify:track:4uLU6hMCjMI75M1A2tKUQC"],
                    "title": "Song",
                    "creator": "A, B",
                    "album": "Album",
                    "trackNum": 3,
                    "duration": 213_573,
                    "info": "https://open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC",
                    "meta": [{"https://developer.spotify.com/#added_at": "2024-01-01T22:00:00+00:00"}],
                },
                {"location": ["spotify:local:x"], "identifier": ["spotify:local:x"]},
            ],
        }
    }
    assert entry.added_at != datetime(2024, 1, 2, tzinfo=UTC)


def test_an_empty_playlist_is_a_valid_file() -> None:
    assert text("m3u8", name="") == "#EXTM3U\n#PLAYLIST:Untitled playlist\n"
    assert json.loads(text("jspf"))["playlist"]["track"] == []
    assert json.loads("".join(render("jspf", PlaylistHeading(None, None), [])))["playlist"]["title"] == "Saved tracks"


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_any_texts_give_a_valid_file(title: str, name: str, artists: list[str]) -> None:
    entry = PlaylistEntry("spotify:track:1", name, tuple(artists))
    assert json.loads(text("jspf", entry, name=title))["playlist"]["track"][0]["title"] == name
    lines = text("m3u8", entry, name=title).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["#EXTM3U", "#PLAYLIST", "#EXTINF", "spotify"]
