"""Vanished music: what Spotify greys out or empties is found by the next sync that can see it, and nothing else is."""

import contextlib
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from spotisync.simulator import Server
from spotisync.simulator.world.editor import HABITS, PATROL_EDITS, VANISHINGS
from spotisync.sync import Context
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store

EDITS = (*HABITS, *PATROL_EDITS, *VANISHINGS)


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.database)


def sync(context: Context, account: Account, store: Store) -> None:
    """A full sync that sees everything: contents of playlists too, whose snapshots do not show what is greyed out."""
    store.sql("UPDATE playlists SET items_snapshot_id = NULL")
    assert driver.full_sync(context, account)["status"] == "success"


def vanished(store: Store, condition: str = "true") -> list[Any]:
    return store.sql(f"SELECT * FROM vanished WHERE reason <> 'removed' AND {condition} ORDER BY playlist_id, position")


def track_ids(rows: Sequence[Any]) -> set[str]:
    return {row.track_id for row in rows}


def choose_saved(server: Server) -> str:
    """A saved track with an ISRC."""
    tracks: dict[str, Any] = server.world.truth()["tracks"]
    return next(id_ for id_, each in sorted(tracks.items()) if each["isrc"] and "saved" in each["seen_in"])


def check(context: Context, server: Server, account: Account, store: Store) -> int:
    """Compare the view with the simulator's truth. Returns the number of places that have vanished."""
    truth = server.control.truth(account.name)["vanished"]
    unplayable = track_ids(vanished(store, "reason = 'unplayable'"))
    # Of a hidden track no reply tells whether it can be played.
    assert unplayable - set(truth["hidden_tracks"]) == set(truth["unplayable"]) - set(truth["hidden_tracks"])
    items = {(row.playlist_id, row.position) for row in vanished(store, "reason = 'unavailable'")}
    assert items == {(playlist, position) for playlist, position in truth["items"]}
    hidden = track_ids(vanished(store, "reason = 'hidden' AND certain"))
    assert hidden <= set(truth["hidden_tracks"])
    # One that was saved and hidden between two syncs was never listed.
    saved = {id_ for (id_,) in store.sql("SELECT track_id FROM saved_tracks WHERE removed_at IS NULL")}
    assert saved & set(truth["hidden_tracks"]) <= track_ids(vanished(store, "reason = 'hidden'"))
    albums = {id_ for (id_,) in store.sql("SELECT album_id FROM saved_albums WHERE removed_at IS NULL")}
    assert albums & set(truth["hidden_albums"]) <= {row.album_id for row in vanished(store, "kind = 'album'")}
    return len(unplayable) + len(items) + len(hidden)


def live(context: Context, server: Server, account: Account, store: Store, seed: int, edits: int, rounds: int) -> int:
    """Edit, sync and compare in turn. Returns the number of edits made."""
    rng, made, seen = Random(seed), 0, 0
    sync(context, account, store)
    for _ in range(rounds):
        for _ in range(edits):
            with contextlib.suppress(LookupError, IndexError):  # nothing is left for this edit
                server.world.random_edit(rng, ops=list(EDITS))
                made += 1
                server.world.clock_offset += 1
        sync(context, account, store)
        seen += check(context, server, account, store)
    assert seen > rounds
    return made


def test_a_greyed_out_track_is_found_and_found_again(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    sync(context, account, store)
    track = choose_saved(simulator)
    assert track not in track_ids(vanished(store))
    simulator.world.edit("grey_out", track=track)
    sync(context, account, store)
    (row,) = [row for row in vanished(store, "playlist_id IS NULL") if row.track_id == track]
    assert (row.reason, row.restriction, row.certain, row.twin_id) == ("unplayable", "market", True, None)
    assert row.gone_since is not None
    sync(context, account, store)
    assert {each.gone_since for each in vanished(store) if each.track_id == track} == {row.gone_since}
    simulator.world.edit("make_playable", track=track)
    sync(context, account, store)
    assert track not in track_ids(vanished(store))
    assert store.one("SELECT is_playable AND unavailable_since IS NULL FROM tracks WHERE id = :id", id=track)


def test_random_edits_raise_no_false_alarm(context: Context, simulator: Server, account: Account, store: Store) -> None:
    assert live(context, simulator, account, store, seed=1, edits=30, rounds=2) > 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_ten_thousand_edits_raise_no_false_alarm(
    context: Context, simulator: Server, account: Account, store: Store, seed: int
) -> None:
    assert live(context, simulator, account, store, seed=seed, edits=50, rounds=52) > 2_500
