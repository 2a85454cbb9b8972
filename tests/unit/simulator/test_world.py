"""The world: what a seed generates, and what edits change."""

import json
from random import Random

import pytest

from spotisync.simulator import World
from spotisync.simulator.world.editor import EDITS, HABITS, ODDITIES, PATROL_EDITS, VANISHINGS
from spotisync.simulator.world.ids import Ids
from spotisync.simulator.world.library import SavedTracks


def document(world: World, account: str | None = None) -> str:
    return json.dumps(world.truth(account))


def test_the_same_seed_gives_an_identical_library() -> None:
    assert document(World(400, seed=7)) == document(World(400, seed=7))
    assert document(World(400, seed=7)) != document(World(400, seed=8))


def test_more_accounts_leave_the_first_one_unchanged() -> None:
    alone, together = World(400), World(400, accounts=3)
    assert document(alone, "user01") == document(together, "user01")


def test_neighbouring_accounts_share_about_half_of_their_artists() -> None:
    world = World(1_000, accounts=2)
    first, second = (
        {id_ for id_, artist in world.truth(account)["artists"].items() if "saved" in artist["seen_in"]}
        for account in world.accounts
    )
    assert 0.25 < len(first & second) / len(second) < 0.75


def test_further_accounts_have_copies_of_the_libraries() -> None:
    world = World(40, accounts=6, libraries=3)
    truth = {account: world.truth(account) for account in world.accounts}
    ids = {account: each["account_id"] for account, each in truth.items()}
    saved = {account: json.dumps(each["saved_tracks"]) for account, each in truth.items()}
    assert len(set(ids.values())) == 6
    assert saved["user04"] == saved["user06"] == saved["user02"]
    assert saved["user05"] == saved["user03"] != saved["user02"]


@pytest.mark.parametrize("op", ["unlike", "like", "save_album", "follow", "play", "hide_track", "unfollow"])
def test_an_edit_of_a_copy_leaves_the_original_alone(op: str) -> None:
    world = World(40, accounts=4, libraries=2)
    before = document(world, "user02"), document(world, "user04")
    world.edit(op, "user03")
    assert (document(world, "user02"), document(world, "user04")) == before


def test_small_is_large_enough_for_the_demo() -> None:
    truth = World("small").truth()
    assert len(truth["saved_tracks"]) >= 3_000
    assert len(truth["artists"]) >= 900
    assert len(truth["albums"]) >= 700
    with_rows = [each for each in truth["playlists"] if each["access"] == "ok" and each["total_items"]]
    assert len(with_rows) >= 45
    assert max(each["total_items"] for each in with_rows) > 200
    assert any(artist["seen_in"] == ["playlist"] for artist in truth["artists"].values())
    assert any(album["seen_in"] == ["playlist"] for album in truth["albums"].values())


@pytest.mark.parametrize("library", ["tiny", 100, 400, 1_000])
def test_the_world_contains_every_oddity(library: str | int) -> None:
    truth = World(library).truth()
    rows = [row for rows in truth["playlist_items"].values() for row in rows]
    playlists = truth["playlists"]
    assert {row["kind"] for row in rows} == {"track", "episode", "local", "unavailable"}
    assert {None, "1970-01-01T00:00:00Z"} < {row["added_at"] for row in rows}
    assert any(artist["gone"] for artist in truth["artists"].values())
    assert any(album["gone"] for album in truth["albums"].values())
    assert "0000" in {album["release_date"] for album in truth["albums"].values()}
    assert {playlist["access"] for playlist in playlists} == {"ok", "forbidden", "not_found"}
    assert {"", None} & {playlist["description"] for playlist in playlists}
    assert "" in {playlist["name"] for playlist in playlists}
    assert max(len(playlist["name"]) for playlist in playlists) > 1_900
    assert None in {playlist["public"] for playlist in playlists}
    assert truth["totals"]["saved_tracks"] == len(truth["saved_tracks"]) + 3
    assert truth["totals"]["playlists"] > len(playlists)
    assert playlists[-1]["offset"] > playlists[-1]["position"] == len(playlists) - 1


def test_without_quirks_the_world_has_no_oddity() -> None:
    truth = World("tiny", quirks=False).truth()
    assert truth["totals"]["saved_tracks"] == len(truth["saved_tracks"]) == 30
    assert {playlist["access"] for playlist in truth["playlists"]} == {"ok"}
    assert {row["kind"] for rows in truth["playlist_items"].values() for row in rows} == {"track"}
    assert not any(artist["gone"] for artist in truth["artists"].values())


def test_about_half_of_the_artists_have_no_genres() -> None:
    artists = World(1_000).truth()["artists"].values()
    assert 0.35 < sum(artist["genres"] == [] for artist in artists) / len(artists) < 0.65


def test_ids_decode_to_their_numbers_and_foreign_ids_to_none() -> None:
    ids = Ids(3)
    for number in (0, 1, 77, 2**40 + 5, 2**63):
        assert ids.number("track", ids.of("track", number)) == number
        assert ids.number("album", ids.of("track", number)) is None
    for wrong in ("", "x" * 22, "Z" * 22, "0" * 21, "-" * 22):
        assert ids.number("track", wrong) is None


def test_saved_tracks_stay_sorted_by_minute_after_inserts() -> None:
    rng = Random(1)
    rows = [(rng.randrange(10_000), number) for number in range(500)]
    saved = SavedTracks(rows[:250], by_minute=True)
    for added, track in rows[250:]:
        saved.add(added, track)
    assert list(saved) == list(SavedTracks(rows, by_minute=True))
    minutes = [added // 60 for added, _ in saved]
    assert minutes == sorted(minutes, reverse=True)
    assert [added for added, _ in saved] != sorted((added for added, _ in saved), reverse=True)


@pytest.mark.parametrize("op", sorted(set(EDITS) - {"follow_playlist", "make_playable", "show_album", *ODDITIES}))
def test_every_edit_works_without_arguments_and_changes_the_world(op: str) -> None:
    world = World("tiny")
    before = document(world)
    done = world.edit(op, rng=Random(5))
    assert done["op"] == op
    if op == "reorder_items":  # the rows may be equal
        return
    assert document(world) != before


def test_what_vanishes_is_in_the_truth_until_it_is_shown_again() -> None:
    world = World("tiny")
    before = world.truth()["vanished"]
    for op in VANISHINGS:
        world.edit(op, rng=Random(5))
    assert {**world.truth()["vanished"], "items": []} == {**before, "items": []}
    assert len(world.truth()["vanished"]["items"]) == len(before["items"]) + 1
    assert world.edit("grey_out")["track_id"] in world.truth()["vanished"]["unplayable"]
    assert world.edit("hide_track")["track_id"] in world.truth()["vanished"]["hidden_tracks"]
    assert world.edit("hide_album")["album_id"] in world.truth()["vanished"]["hidden_albums"]


def test_edits_do_what_their_names_say() -> None:
    world = World("tiny")
    world.clock_offset = 1_800_000_000 - world.now()
    liked = world.edit("like")
    assert world.truth()["saved_tracks"][0] == {"track_id": liked["track_id"], "added_at": liked["added_at"]}
    assert world.edit("unlike", track=liked["track_id"])["track_id"] == liked["track_id"]
    assert liked["track_id"] not in {row["track_id"] for row in world.truth()["saved_tracks"]}
    album = world.edit("like_album")
    assert [row["added_at"] for row in world.truth()["saved_tracks"]].count(album["added_at"]) == len(
        album["track_ids"]
    )


def test_relinking_keeps_isrc_and_date() -> None:
    world = World("tiny")
    old = world.truth()["saved_tracks"][3]
    new = world.edit("relink", track=old["track_id"])["new_track_id"]
    truth = world.truth()
    assert {"track_id": new, "added_at": old["added_at"]} in truth["saved_tracks"]
    assert truth["tracks"][new]["isrc"] == World("tiny").truth()["tracks"][old["track_id"]]["isrc"]


def test_edits_change_the_snapshot_of_a_playlist_but_moving_it_does_not() -> None:
    world = World("tiny")
    made = world.edit("create_playlist", name="new", tracks=[row["track_id"] for row in world.truth()["saved_tracks"]])
    ops = ("rename_playlist", "add_items", "remove_items", "reorder_items")
    seen = [made["snapshot_id"], *(world.edit(op, playlist=made["playlist_id"])["snapshot_id"] for op in ops)]
    assert len(set(seen)) == 5
    assert world.edit("move_playlist", playlist=made["playlist_id"], to=2)["snapshot_id"] == seen[-1]
    assert world.truth()["playlists"][2]["id"] == made["playlist_id"]


def test_a_new_snapshot_id_appears_after_a_lag() -> None:
    world = World("tiny")
    world.snapshot_lag = 30
    id_ = next(each["id"] for each in world.truth()["playlists"] if each["access"] == "ok" and each["total_items"] > 5)
    before = world.playlists[id_].snapshot_id(world.now())
    world.playlists[id_].mark_changed(world.now(), world.snapshot_lag)
    assert world.playlists[id_].snapshot_id(world.now()) == before
    between, after = (world.playlists[id_].snapshot_id(world.now() + lag) for lag in (16, 31))
    assert len({before, between, after}) == 3
    world.playlists[id_].mark_changed(world.now() + 16, world.snapshot_lag)
    seen = [world.playlists[id_].snapshot_id(world.now() + lag) for lag in (17, 40, 60)]
    assert seen[0] == between
    assert len({before, after, *seen}) == 5


def test_the_library_still_contains_what_spotify_hides() -> None:
    world = World("tiny")
    before = world.truth() | {"vanished": None}
    for op in ("hide_track", "hide_playlist", "withhold", "show_track", "show_playlist"):
        world.edit(op)
        assert world.truth() | {"vanished": None} == before


def test_a_removed_track_hides_nothing_when_it_returns() -> None:
    world = World("tiny")
    track = world.edit("hide_track")["track_id"]
    world.edit("unlike", track=track)
    world.edit("like", track=track)
    assert not world.first.hidden


@pytest.mark.parametrize("kind", ["artist", "album"])
def test_a_withdrawn_object_is_gone_from_then_on(kind: str) -> None:
    world = World("tiny")
    met = world.truth()[f"{kind}s"]
    id_ = next(id_ for id_, each in met.items() if not each["gone"])
    world.edit("withdraw", kind=kind, id=id_)
    assert world.truth()[f"{kind}s"][id_]["gone"]
    with pytest.raises(LookupError, match="tracks are not looked up"):
        world.edit("withdraw", kind="track")


def test_reordering_moves_the_block() -> None:
    world = World("tiny")
    tracks = [row["track_id"] for row in world.truth()["saved_tracks"]][:6]
    made = world.edit("create_playlist", tracks=tracks)["playlist_id"]

    def order() -> list[int]:
        return [tracks.index(row["track_id"]) for row in world.truth()["playlist_items"][made]]

    world.edit("reorder_items", playlist=made, start=1, length=2, to=5)
    assert order() == [0, 3, 4, 1, 2, 5]
    world.edit("reorder_items", playlist=made, start=3, length=2, to=0)
    assert order() == [1, 2, 0, 3, 4, 5]


def test_the_seed_determines_random_edits() -> None:
    def edited() -> list[str]:
        world, rng = World("tiny"), Random(9)
        return [world.random_edit(rng)["op"] for _ in range(60)]

    assert edited() == edited()
    assert set(edited()) <= set(HABITS)


def test_random_edits_use_only_the_given_kinds() -> None:
    world = World("tiny")
    assert {world.random_edit(ops=list(PATROL_EDITS))["op"] for _ in range(30)} == set(PATROL_EDITS)


def test_an_impossible_edit_says_why() -> None:
    world = World("tiny")
    with pytest.raises(LookupError, match="no edit 'lick'; the edits are like"):
        world.edit("lick")
    with pytest.raises(LookupError, match="no track"):
        world.edit("like", track="0" * 22)
    with pytest.raises(LookupError, match="is already saved"):
        world.edit("like", track=world.truth()["saved_tracks"][0]["track_id"])
