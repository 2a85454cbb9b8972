"""Every known oddity of Spotify's replies, and arbitrary JSON."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core import parse
from spotisync.core.parse import EPOCH, Unreadable
from spotisync.core.rows import (
    AlbumRow,
    ArtistRow,
    CatalogueRows,
    PlaylistItemRow,
    PlaylistRow,
    SavedTrackRow,
    TrackRow,
)

ARTIST = {"id": "a1", "name": "Umber", "type": "artist", "uri": "spotify:artist:a1"}
ALBUM = {"id": "b1", "name": "Tidal", "type": "album", "uri": "spotify:album:b1", "artists": [ARTIST]}
TRACK = {
    "id": "t1",
    "name": "Kettle",
    "type": "track",
    "uri": "spotify:track:t1",
    "album": ALBUM,
    "artists": [ARTIST],
    "duration_ms": 1000,
    "track": True,
    "episode": False,
    "is_local": False,
}
ADDED = "2025-03-01T12:00:00Z"


def page(*items: Any, total: Any = None) -> dict[str, Any]:
    return {"items": list(items), "total": len(items) if total is None else total}


def saved(track: Any = TRACK, added_at: Any = ADDED) -> dict[str, Any]:
    return {"added_at": added_at, "track": track}


def track_of(**changes: Any) -> TrackRow:
    found = parse.track({**TRACK, **changes}, CatalogueRows())
    assert found
    return found


def album_of(**changes: Any) -> AlbumRow:
    found = parse.album({**ALBUM, **changes}, CatalogueRows())
    assert found
    return found


def artist_of(**changes: Any) -> ArtistRow:
    found = parse.artist({**ARTIST, **changes})
    assert found
    return found


def playlist_of(**changes: Any) -> PlaylistRow:
    found = parse.playlist({"id": "p1", "name": "Drowsy", "snapshot_id": "s", **changes})
    assert found
    return found


def item_of(item: Any, offset: int = 0) -> PlaylistItemRow:
    (row,) = parse.playlist_items(page(item, total=offset + 1), offset).rows
    return row


# ---- pages ----------------------------------------------------------------------------------------------------------

PAGES: list[Any] = [parse.saved_tracks, parse.playlists, parse.playlist_items]


@pytest.mark.parametrize("read", PAGES)
@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        {"items": []},
        {"items": None, "total": 3},
        {"items": {}, "total": 3},
        {"total": 3},
        {"items": [], "total": None},
        {"items": [], "total": "3"},
        {"items": [], "total": True},
        {"items": [], "total": -1},
        {"error": {"status": 500}},
    ],
)
def test_a_page_without_items_or_total_is_unreadable_and_not_empty(read: Any, body: Any) -> None:
    with pytest.raises(Unreadable):
        read(body, 0)


@pytest.mark.parametrize("read", PAGES)
def test_an_empty_list_is_an_empty_page(read: Any) -> None:
    found = read(page(), 0)
    assert (found.length, found.total, found.rows) == (0, 0, ())


@pytest.mark.parametrize("read", PAGES)
def test_accepts_a_total_that_is_a_float(read: Any) -> None:
    assert read(page(total=7.0), 0).total == 7


# ---- saved tracks ---------------------------------------------------------------------------------------------------


def test_an_id_that_no_index_takes_counts_as_absent() -> None:
    long = "x" * 3_000
    found = parse.saved_tracks(page(saved(), saved({**TRACK, "id": long})), 0)
    assert [row and row.track_id for row in found.rows] == ["t1", None]
    assert track_of(album={**ALBUM, "id": long}, artists=[{**ARTIST, "id": long}, ARTIST]).artist_ids == ("a1",)


@pytest.mark.parametrize("cursors", [None, {}, [], {"after": 5}, {"after": []}, {"after": False}])
def test_only_null_ends_the_list_of_artists(cursors: Any) -> None:
    body = {"artists": {**page(ARTIST, total=9), "cursors": cursors}}
    with pytest.raises(Unreadable, match="without a cursor"):
        parse.followed_artists(body, 0)
    assert parse.followed_artists({"artists": {**page(ARTIST, total=9), "cursors": {"after": None}}}, 0).after is None


def test_null_rows_keep_their_position() -> None:
    found = parse.saved_tracks(page(saved(), None, {"track": None, "added_at": ADDED}, {}, saved()), 50)
    row = SavedTrackRow("t1", datetime(2025, 3, 1, 12, tzinfo=UTC))
    assert found.rows == (row, None, None, None, row)
    assert (found.offset, found.length, found.total) == (50, 5, 5)


@pytest.mark.parametrize("added_at", [None, "", "yesterday", 7, "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z"])
def test_a_missing_date_becomes_the_epoch(added_at: Any) -> None:
    assert parse.saved_tracks(page(saved(added_at=added_at)), 0).rows == (SavedTrackRow("t1", EPOCH),)


def test_one_page_fills_the_catalogue_with_tracks_albums_and_artists() -> None:
    catalogue = parse.saved_tracks(page(saved()), 0).catalogue
    assert set(catalogue.tracks) == {"t1"}
    assert set(catalogue.albums) == {"b1"}
    assert set(catalogue.artists) == {"a1"}
    assert catalogue.tracks["t1"].album_id == "b1"
    assert catalogue.tracks["t1"].artist_ids == ("a1",)
    assert catalogue.albums["b1"].artist_ids == ("a1",)


def test_stores_a_relinked_track_under_the_id_that_spotify_lists() -> None:
    row = track_of(linked_from={"id": "t0", "type": "track"}, is_playable=True)
    assert (row.id, row.linked_from, row.is_playable) == ("t1", "t0", True)


@pytest.mark.parametrize(
    ("sent", "is_playable", "restriction"),
    [
        ({}, None, None),
        ({"is_playable": None}, None, None),
        ({"is_playable": "false"}, None, None),
        ({"restrictions": {}}, None, None),
        ({"is_playable": True}, True, None),
        ({"is_playable": False}, False, None),
        ({"is_playable": False, "restrictions": {"reason": "market"}}, False, "market"),
        ({"restrictions": {"reason": "market"}}, False, "market"),
        ({"is_playable": True, "restrictions": {"reason": "market"}}, True, None),
        ({"is_playable": False, "restrictions": {"reason": "explicit"}}, None, None),
        ({"restrictions": {"reason": "product"}}, None, None),
    ],
)
def test_a_track_is_playable_greyed_out_or_neither_is_told(
    sent: dict[str, Any], is_playable: bool | None, restriction: str | None
) -> None:
    row = track_of(**sent)
    assert (row.is_playable, row.restriction) == (is_playable, restriction)


def test_a_later_sighting_keeps_what_an_earlier_one_knew() -> None:
    catalogue = CatalogueRows()
    parse.album({**ALBUM, "label": "Ninth Pier", "popularity": 3}, catalogue)
    parse.album({**ALBUM, "popularity": 5}, catalogue)
    assert (catalogue.albums["b1"].label, catalogue.albums["b1"].popularity) == ("Ninth Pier", 5)


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "day"),
    [
        ("1979", date(1979, 1, 1)),
        ("2007-03", date(2007, 3, 1)),
        ("2007-03-14", date(2007, 3, 14)),
        ("0000", None),
        ("0000-00-00", None),
        ("2007-13", None),
        ("2007-02-30", None),
        ("٢٠٠٧", None),
        ("soon", None),
        ("", None),
    ],
)
def test_stores_a_release_date_as_sent_and_derives_its_first_day(sent: str, day: date | None) -> None:
    found = album_of(release_date=sent, release_date_precision="year")
    assert (found.release_date, found.release_date_precision, found.released_on) == (sent, "year", day)


def test_a_missing_release_date_is_none() -> None:
    assert album_of(release_date=None).release_date is None
    assert album_of(release_date=None).released_on is None


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (67.0, 67),
        (67, 67),
        (None, None),
        ("67", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**30, None),
        (-5, -5),
        ([], None),
    ],
)
def test_accepts_whole_numbers_sent_as_floats(sent: Any, number: int | None) -> None:
    found = artist_of(popularity=sent, followers={"href": None, "total": sent})
    assert (found.popularity, found.followers) == (number, number)


@pytest.mark.parametrize("name", ["", "N/A", "null", "夜の灯台", "x" * 100_000])
def test_keeps_any_name(name: str) -> None:
    assert track_of(name=name).name == name
    assert artist_of(name=name).name == name
    assert album_of(name=name).name == name
    assert playlist_of(name=name).name == name


def test_a_missing_name_is_unknown() -> None:
    assert track_of(name=None).name is None
    assert artist_of(name=None).name is None
    assert playlist_of(name=None).name is None


def test_removes_nul_and_lone_surrogates_from_a_name_for_postgres() -> None:
    name = track_of(name="a\x00b\ud800c").name
    assert name == "ab?c"


def test_an_empty_list_of_genres_differs_from_a_missing_one() -> None:
    assert artist_of(genres=[]).genres == ()
    assert artist_of(genres=["harbour folk", None, "", 3]).genres == ("harbour folk",)
    assert artist_of(genres=None).genres is None
    assert artist_of().genres is None


@pytest.mark.parametrize(
    ("images", "url"),
    [
        (None, None),
        ([], None),
        ([None], None),
        ([{"url": None, "width": 9}], None),
        ([{"url": "first", "width": None, "height": None}, {"url": "second", "width": None}], "first"),
        ([{"url": "first"}, {"url": "second"}], "first"),
        ([{"url": "small", "width": 64}, {"url": "large", "width": 640.0}], "large"),
        ({"url": "x"}, None),
    ],
)
def test_picks_the_largest_image_or_the_first_without_sizes(images: Any, url: str | None) -> None:
    assert artist_of(images=images).image_url == url
    assert playlist_of(images=images).image_url == url


def test_reads_isrc_and_upc_from_external_ids() -> None:
    assert track_of(external_ids={"isrc": "NLA1"}).isrc == "NLA1"
    assert album_of(external_ids={"upc": "123"}).upc == "123"
    assert track_of(external_ids=None).isrc is None


def test_a_missing_list_of_artists_is_unknown_and_an_empty_one_empty() -> None:
    assert track_of(artists=None).artist_ids is None
    assert track_of(artists=[]).artist_ids == ()
    assert track_of(artists=[None, {"id": None}, ARTIST]).artist_ids == ("a1",)


@pytest.mark.parametrize("sent", ["2025-03-01T12:00:00Z", "2025-03-01T12:00:00", "2025-03-01T14:00:00.000+02:00"])
def test_converts_timestamps_to_utc(sent: str) -> None:
    found = parse.moment(sent)
    assert found == datetime(2025, 3, 1, 12, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("sent", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_timestamps_beyond_the_calendar_are_none(sent: str) -> None:
    assert parse.moment(sent) is None


# ---- playlists ------------------------------------------------------------------------------------------------------


def test_null_playlists_keep_their_position() -> None:
    found = parse.playlists(page(None, {"id": "p1"}, {"id": None}, {"id": ""}), 50)
    assert [row and row.id for row in found.rows] == [None, "p1", None, None]
    assert found.length == 4


@pytest.mark.parametrize(
    ("sent", "total"),
    [
        ({"items": {"href": "", "total": 5}}, 5),
        ({"tracks": {"href": "", "total": 5}}, 5),
        ({"items": {"total": 5}, "tracks": {"total": 5}}, 5),
        ({"items": None, "tracks": {"total": 5}}, 5),
        ({"tracks": {"total": None}}, None),
        ({"tracks": None}, None),
        ({}, None),
    ],
)
def test_reads_the_length_of_a_playlist_under_either_key(sent: dict[str, Any], total: int | None) -> None:
    assert playlist_of(**sent).total_items == total


def test_accepts_a_playlist_whose_fields_are_all_null() -> None:
    found = playlist_of(name=None, description=None, owner=None, public=None, snapshot_id=None, collaborative=None)
    assert found == PlaylistRow("p1", None, None, None, None, None, None, None, None, None)
    owner = {"id": None, "display_name": None}
    assert playlist_of(owner=owner).owner_id is None


def test_an_empty_description_differs_from_an_unknown_one() -> None:
    assert playlist_of(description="").description == ""


# ---- playlist items -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        {"track": TRACK},
        {"item": TRACK},
        {"item": TRACK, "track": TRACK},
        {"item": TRACK, "track": True},
        {"item": None, "track": TRACK},
    ],
)
def test_reads_a_track_from_item_or_track_or_both(item: dict[str, Any]) -> None:
    row = item_of({"added_at": ADDED, "added_by": {"id": "u1"}, "is_local": False, **item}, 100)
    moment = datetime(2025, 3, 1, 12, tzinfo=UTC)
    assert row == PlaylistItemRow(100, "track", "t1", "spotify:track:t1", "Kettle", moment, "u1")


@pytest.mark.parametrize(
    "item", [None, {}, {"track": None, "added_by": {"id": ""}}, {"item": None}, {"track": True}, {"track": {}}]
)
def test_an_empty_row_is_unavailable_and_keeps_its_position(item: Any) -> None:
    assert item_of(item, 7) == PlaylistItemRow(7, "unavailable")


def test_a_local_file_has_no_id() -> None:
    nowhere = {"id": None, "uri": None, "href": None}
    local = {
        **nowhere,
        "type": "track",
        "is_local": True,
        "name": "Title",
        "uri": "spotify:local:Artist::Title:273",
        "album": {**nowhere, "name": "", "album_type": None, "release_date": None, "type": "album"},
        "artists": [{**nowhere, "name": "Artist", "type": "artist"}],
    }
    found = parse.playlist_items(page({"track": local, "is_local": True}, {"item": local}), 0)
    assert [(row.kind, row.track_id, row.uri, row.name) for row in found.rows] == [
        ("local", None, "spotify:local:Artist::Title:273", "Title")
    ] * 2
    assert found.catalogue == CatalogueRows()


def test_an_episode_is_no_track_in_either_form() -> None:
    show = {"id": "s1", "name": "A Show", "type": "show", "uri": "spotify:show:s1"}
    real = {"id": "e1", "type": "episode", "uri": "spotify:episode:e1", "name": "Pilot", "show": show}
    dressed = {
        **real,
        "episode": True,
        "album": {**show, "type": "album", "album_type": "show"},
        "artists": [show],
    }
    found = parse.playlist_items(page({"item": real}, {"track": dressed}, {"track": {**dressed, "type": "track"}}), 0)
    assert [(row.kind, row.track_id, row.uri) for row in found.rows] == [("episode", None, "spotify:episode:e1")] * 3
    assert found.catalogue == CatalogueRows()


@pytest.mark.parametrize("sign", [{"type": "episode"}, {"episode": True}, {"uri": "spotify:episode:e1"}])
def test_one_marker_of_an_episode_is_enough(sign: dict[str, Any]) -> None:
    assert item_of({"item": {**TRACK, **sign}}).kind == "episode"


def test_a_show_listed_as_an_artist_creates_no_artist() -> None:
    row = track_of(artists=[{"id": "s1", "type": "show", "name": "A Show"}])
    assert row.artist_ids == ()


@pytest.mark.parametrize("kind", ["chapter", "audiobook", "ad", 3])
def test_an_unknown_kind_is_unavailable_and_keeps_its_uri_and_name(kind: Any) -> None:
    found = parse.playlist_items(page({"item": {**TRACK, "type": kind, "uri": "spotify:other:x"}}), 0)
    assert found.rows == (PlaylistItemRow(0, "unavailable", None, "spotify:other:x", "Kettle"),)
    assert found.catalogue == CatalogueRows()


@pytest.mark.parametrize("kind", [None, "track"])
def test_a_row_without_a_type_is_a_track(kind: Any) -> None:
    assert item_of({"item": {**TRACK, "type": kind}}).kind == "track"
    bare = {name: value for name, value in TRACK.items() if name != "type"}
    assert item_of({"item": bare}).kind == "track"


def test_a_track_listed_twice_yields_two_rows() -> None:
    found = parse.playlist_items(page({"item": TRACK}, {"item": TRACK}), 50)
    assert [(row.position, row.track_id) for row in found.rows] == [(50, "t1"), (51, "t1")]


@pytest.mark.parametrize(
    ("added_at", "stored"), [(None, None), ("1970-01-01T00:00:00Z", EPOCH), (ADDED, parse.moment(ADDED))]
)
def test_accepts_old_playlist_rows_without_date_and_adder(added_at: Any, stored: Any) -> None:
    row = item_of({"item": TRACK, "added_at": added_at, "added_by": None})
    assert (row.added_at, row.added_by) == (stored, None)


# ---- look-ups -------------------------------------------------------------------------------------------------------


def test_a_null_among_looked_up_ids_means_that_the_id_is_gone() -> None:
    found = parse.artists_by_id({"artists": [ARTIST, None, {"id": None}]}, ["a1", "a2", "a3"])
    assert (set(found.known), set(found.gone)) == ({"a1"}, {"a2"})
    assert set(found.catalogue.artists) == {"a1"}


def test_a_reply_with_another_id_answers_the_requested_id() -> None:
    found = parse.albums_by_id({"albums": [{**ALBUM, "id": "b9"}]}, ["b1"])
    assert (set(found.known), set(found.gone)) == ({"b1"}, set())


@pytest.mark.parametrize("body", [None, {}, [], {"artists": None}, {"artists": []}, {"artists": [None, None]}])
def test_a_look_up_reply_of_another_length_is_unreadable(body: Any) -> None:
    with pytest.raises(Unreadable):
        parse.artists_by_id(body, ["a1"])


# ---- arbitrary JSON -------------------------------------------------------------------------------------------------

WORDS = (
    "items total id name uri type track item album artists genres popularity followers images url width is_local "
    "episode added_at added_by owner tracks snapshot_id public collaborative description release_date external_ids "
    "isrc upc label duration_ms explicit disc_number albums release_date_precision display_name"
)
KEYS = WORDS.split()
KINDS = ["artist", "album", "track", "episode", "show", "spotify:episode:x"]
TIMES = ["0000", "2024-02-30", "2024-05-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2024-05-01T00:00:00+00:00:30.001"]
STRINGS = st.text(max_size=6) | st.sampled_from([*KINDS, *TIMES, "a\x00", "\ud800"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | STRINGS
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=30,
)
BODIES = JSON | st.fixed_dictionaries({"items": st.lists(JSON, max_size=4), "total": st.integers(0, 9)})


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            if each.compare:  # other fields contain what Spotify sent
                yield from strings(getattr(value, each.name))
    elif isinstance(value, dict):
        yield from strings([*value, *value.values()])
    elif isinstance(value, list | tuple | frozenset):
        for each in value:
            yield from strings(each)


def moments(value: Any) -> Iterator[datetime]:
    if isinstance(value, SavedTrackRow | PlaylistItemRow) and value.added_at is not None:
        yield value.added_at
    for each in getattr(value, "rows", ()):
        yield from moments(each)


@given(BODIES)
def test_any_reply_is_unreadable_or_yields_rows_that_can_be_stored(body: Any) -> None:
    readers: list[Any] = [
        *(lambda body, read=read: read(body, 0) for read in PAGES),
        *(lambda body, read=read: read(body, ["x"]) for read in (parse.artists_by_id, parse.albums_by_id)),
    ]
    for read in readers:
        try:
            found = read(body)
        except Unreadable:
            continue
        for text in strings(found):
            assert "\x00" not in text
            text.encode()
        assert all(moment.tzinfo is UTC and moment >= EPOCH for moment in moments(found))


@given(st.text(st.characters()))  # lone surrogates too
def test_a_text_is_what_remains_without_nul_and_lone_surrogates(value: str) -> None:
    assert parse.text(value) == value.replace("\x00", "").encode("utf-8", "replace").decode()


IMAGES = st.lists(st.fixed_dictionaries({}, optional={"url": STRINGS | st.none(), "width": LEAVES}) | LEAVES)


@given(IMAGES)
def test_the_largest_image_is_the_first_of_the_widest(images: list[Any]) -> None:
    usable = [image for image in images if isinstance(image, dict) and parse.text(image.get("url"))]
    widths = [parse.number(image.get("width")) or 0 for image in usable]
    expected = parse.text(usable[widths.index(max(widths))]["url"]) if usable else None
    assert parse.largest_image(images) == expected


# In Python, True equals 1.
ARTISTS = [
    {"id": "a", **changes}
    for odd in (True, 1, None, "a\x00")
    for changes in (
        {"name": odd},
        {"genres": [odd]},
        {"popularity": odd},
        {"followers": {"total": odd}},
        {"images": [{"url": "first", "width": 0}, {"url": "second", "width": odd}]},
    )
]


def check_is_parsed_alone(artists: list[Any]) -> None:
    found, plain = CatalogueRows(), CatalogueRows()
    track = parse.track({**TRACK, "album": None, "artists": artists}, found)
    rows = [row for each in artists if isinstance(each, dict) and (row := parse.artist(each))]
    for row in rows:
        plain.add_artist(row)
    assert track
    assert track.artist_ids == tuple(row.id for row in rows)
    assert found.artists == plain.artists


def test_an_artist_that_is_sent_again_is_parsed_as_if_alone() -> None:
    for first, second in product(ARTISTS, ARTISTS):
        check_is_parsed_alone([first, second, first])


@given(st.lists(JSON, max_size=3))
def test_any_artist_that_is_sent_again_is_parsed_as_if_alone(artists: list[Any]) -> None:
    check_is_parsed_alone([*artists, *deepcopy(artists)])


@given(JSON)
def test_yields_one_row_for_each_row_sent(item: Any) -> None:
    for read in PAGES:
        found = read(page(item, saved(), total=9), 4)
        assert (found.length, len(found.rows)) == (2, 2)
    assert [row.position for row in parse.playlist_items(page(item, item, total=9), 4).rows] == [4, 5]


# ---- shows, episodes, audiobooks ------------------------------------------------------------------------------------

SHOW = {"id": "w1", "type": "show", "name": "Talks", "publisher": "P", "languages": ["en", None], "total_episodes": 5.0}
BOOK = {"id": "b1", "type": "audiobook", "name": "Book", "authors": [{"name": "A"}, {}], "narrators": [{"name": "N"}]}


def saved_page(*items: Any) -> dict[str, Any]:
    return {"items": [*items], "total": len(items), "next": None}


def test_saved_shows_keep_null_rows_and_unknown_dates() -> None:
    found = parse.saved_shows(saved_page({"added_at": "2026-01-02T03:04:05Z", "show": SHOW}, None, {"show": SHOW}), 0)
    assert [row and (row.id, row.added_at is None) for row in found.rows] == [("w1", False), None, ("w1", True)]
    show = found.catalogue.shows["w1"]
    assert (show.uri, show.languages, show.total_episodes) == ("spotify:show:w1", ("en",), 5)
    assert show.is_audiobook is None


@pytest.mark.parametrize(
    ("description", "is_audiobook"),
    [("Author(s): A\nNarrator(s): N\nText", True), ("Author(s): A", None), ("On Author(s): and Narrator(s):", None)],
)
def test_an_audiobook_describes_itself(description: str, is_audiobook: bool | None) -> None:
    found = parse.saved_shows(saved_page({"show": {**SHOW, "description": description}}), 0)
    assert found.catalogue.shows["w1"].is_audiobook is is_audiobook


def test_audiobooks_are_read_with_and_without_a_row_around_them() -> None:
    found = parse.saved_audiobooks(saved_page(BOOK, {"added_at": "2026-01-02T03:04:05Z", "audiobook": BOOK}, {}), 0)
    assert [row and (row.id, row.added_at is None) for row in found.rows] == [("b1", True), ("b1", False), None]
    book = found.catalogue.audiobooks["b1"]
    assert (book.authors, book.narrators) == (("A",), ("N",))


def test_a_saved_episode_comes_with_its_show() -> None:
    episode = {
        "id": "e1",
        "type": "episode",
        "name": "Pilot",
        "release_date": "2024-05",
        "show": SHOW,
        "language": "en",
    }
    found = parse.saved_episodes(
        saved_page({"episode": episode}, {"episode": {**episode, "id": "e2", "show": None}}), 0
    )
    rows = found.catalogue.episodes
    assert [(row.id, row.show_id, str(row.released_on), row.language) for row in rows.values()] == [
        ("e1", "w1", "2024-05-01", "en"),
        ("e2", None, "2024-05-01", "en"),
    ]
    assert found.catalogue.shows.keys() == {"w1"}
