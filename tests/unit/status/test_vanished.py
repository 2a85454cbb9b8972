"""Vanished music by item: places, twins, sentences."""

from dataclasses import replace
from datetime import UTC, datetime

from spotisync.cli.vanished import format_vanished
from spotisync.status.vanished import describe_item, describe_new, describe_places, describe_twin, group_places
from spotisync.store.vanished import VanishedRow

AT = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
ROW = VanishedRow(
    reason="unplayable",
    kind="track",
    certain=True,
    gone_since=AT,
    restriction="market",
    playlist_id=None,
    playlist=None,
    position=None,
    track_id="t",
    track="Song",
    artist="Xenia",
    album_id="b",
    album="Album",
    added_at=AT,
    twin_id=None,
    twin=None,
    twin_album=None,
)
ITEM = replace(ROW, playlist_id="p", playlist="Mix", position=0)
HOLE = replace(ITEM, reason="unavailable", track_id=None, track=None, artist=None, album_id=None, gone_since=None)


def test_one_item_has_all_places_where_it_stood() -> None:
    (item,) = group_places([ROW, *(replace(ITEM, position=place) for place in range(7))])
    assert describe_item(item) == "Song by Xenia"
    assert describe_places(item) == "saved tracks; playlist “Mix”, no. 1, 2, 3, 4, 5 and 2 more"
    assert describe_twin(item) is None
    assert item["gone_since"] == AT.isoformat()
    (item,) = group_places([ITEM, replace(ITEM, position=3)])
    assert describe_places(item) == "playlist “Mix”, no. 1 and 4"


def test_places_in_playlists_of_the_same_name_stay_apart() -> None:
    (item,) = group_places([ITEM, replace(ITEM, playlist_id="q", position=8)])
    assert describe_places(item) == "playlist “Mix”, no. 1; playlist “Mix”, no. 9"


def test_unknown_rows_of_a_playlist_are_one_item() -> None:
    found = group_places([HOLE, replace(HOLE, position=2), replace(HOLE, playlist_id="q", playlist=None)])
    assert [describe_item(each) for each in found] == [
        "2 tracks whose name is not known",
        "1 track whose name is not known",
    ]
    assert describe_places(found[1]) == "playlist “q”, no. 1"


def test_an_album_is_named_by_its_name() -> None:
    album = replace(ROW, kind="album", reason="hidden", certain=False, track_id=None, track=None)
    (item,) = group_places([album])
    assert (describe_item(item), describe_places(item)) == ("Album by Xenia", "saved albums")


def test_names_the_twin_and_its_album() -> None:
    found = group_places(
        [replace(ROW, twin_id="u", twin="Song", twin_album="Best of"), replace(ROW, track_id="v", twin_id="u")]
    )
    assert [describe_twin(each) for each in found] == ["still plays: Song on “Best of”", "still plays: u"]


def test_a_notification_names_twenty_and_counts_the_rest() -> None:
    lines = describe_new([replace(ROW, track_id=str(number), track=str(number)) for number in range(21)], "me").split(
        "\n"
    )
    assert lines[0] == "0 by Xenia (greyed out; saved tracks)"
    assert lines[-2:] == ["and 1 more", "What to do: spotisync vanished --account me"]
    assert len(lines) == 22


def test_the_command_prints_days_of_the_time_zone() -> None:
    group = {"name": "unplayable", "title": "Greyed out", "meaning": "", "count": 1, "items": group_places([ROW])}
    document = {"account": "me", "complete": True, "groups": [group]}
    assert list(format_vanished([document], "Europe/Berlin")) == [
        "Greyed out (1)",
        "  Song by Xenia",
        "    since 2 Mar 2026; saved tracks",
    ]
    empty = {"account": "you", "complete": True, "groups": []}
    assert list(format_vanished([document, empty], "UTC"))[-2:] == ["", "you: nothing has vanished."]
    assert list(format_vanished([empty], "UTC")) == ["Nothing has vanished."]
    assert list(format_vanished([document | {"complete": False}], "UTC"))[-1].startswith("There is more: ")
    assert list(format_vanished([], "UTC")) == ["No account yet. Connect one: spotisync login"]
