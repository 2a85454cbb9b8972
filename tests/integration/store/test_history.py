"""History queries: spans of saved tracks, versions of playlists, changes of a run."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from spotisync.simulator import Server
from spotisync.sync import Context, accounts
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.support.truth import expected

Truth = dict[str, Any]


@pytest.fixture
def store(context: Context, account: Account) -> Store:
    made = Store(context.database)
    made.account_id = made.one("SELECT id FROM accounts WHERE spotify_user_id = :name", name=account.name)
    return made


def library(store: Store, at: datetime) -> dict[str, datetime]:
    rows = store.sql("SELECT * FROM library_as_of(:id, :at)", id=store.account_id, at=at)
    return {row.track_id: row.added_at for row in rows}


def playlist(store: Store, id_: str, at: datetime) -> dict[int, Any]:
    rows = store.sql("SELECT * FROM playlist_as_of(:id, :at)", id=id_, at=at)
    return {row.position: (row.kind, row.track_id, row.uri, row.added_at, row.added_by) for row in rows}


def changes(store: Store, run: int) -> set[tuple[str, str, str]]:
    return {(row.kind, row.change, row.id) for row in store.sql("SELECT * FROM changes_of_run(:run)", run=run)}


def items_of(truth: Truth, id_: str) -> dict[int, Any]:
    items = expected(truth)["playlist_items"]
    return {at: (kind, track, uri, *rest) for (of, at), (kind, track, uri, _, *rest) in items.items() if of == id_}


def spans(store: Store, track: str) -> list[Any]:
    return store.sql("SELECT * FROM saved_spans WHERE track_id = :id ORDER BY from_at", id=track)


def counted(store: Store) -> list[Any]:
    tables = ("saved_spans", "playlist_spans", "playlist_versions")
    return [store.one(f"SELECT COALESCE(sum(hashtext(t::text)), 0) + count(*) FROM {table} t") for table in tables]


@pytest.mark.slow
def test_as_of_queries_equal_the_truth_of_five_earlier_runs(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    first = simulator.world.truth(account.name)
    mine = next(row["id"] for row in first["playlists"] if row["owner_id"] == account.name and row["access"] == "ok")
    edits: list[list[tuple[str, dict[str, Any]]]] = [
        [],
        [("like", {}), ("unlike", {}), ("add_items", {"playlist": mine})],
        [("unlike", {}), ("unlike", {}), ("like_album", {}), ("create_playlist", {})],
        [("insert_old", {}), ("remove_items", {"playlist": mine}), ("unlike", {})],
        [("like", {}), ("unlike", {}), ("reorder_items", {"playlist": mine})],
    ]
    then: list[tuple[datetime, Truth]] = []
    for number, before in enumerate(edits):
        for op, args in before:
            simulator.world.edit(op, account.name, **args)
        summary = (driver.full_sync if number in {0, 3} else driver.incremental_sync)(context, account)
        assert summary["status"] == "success"
        then.append((store.one("SELECT clock_timestamp()"), simulator.world.truth(account.name)))
    simulator.world.edit("unlike", account.name)
    driver.incremental_sync(context, account)
    for at, truth in then:
        assert library(store, at) == expected(truth)["saved_tracks"]
        for row in truth["playlists"]:
            if row["access"] == "ok":
                assert playlist(store, row["id"], at) == items_of(truth, row["id"])


def test_lists_what_a_run_changed(context: Context, simulator: Server, account: Account, store: Store) -> None:
    driver.full_sync(context, account)
    liked = simulator.world.edit("like", account.name)["track_id"]
    saved = [row["track_id"] for row in simulator.world.truth(account.name)["saved_tracks"]]
    gone = simulator.world.edit("unlike", account.name, track=saved[5])["track_id"]
    mine = simulator.world.edit("create_playlist", account.name)["playlist_id"]
    run = driver.full_sync(context, account)["sync_id"]
    assert changes(store, run) == {("track", "added", liked), ("track", "removed", gone), ("playlist", "new", mine)}
    simulator.world.edit("add_items", account.name, playlist=mine)
    simulator.world.edit("unlike", account.name, track=liked)
    run = driver.full_sync(context, account)["sync_id"]
    assert changes(store, run) == {("track", "removed", liked), ("playlist", "changed", mine)}
    simulator.world.edit("delete_playlist", account.name, playlist=mine)
    assert changes(store, driver.full_sync(context, account)["sync_id"]) == {("playlist", "gone", mine)}
    found = store.sql("SELECT * FROM saved_between(:id, now() - interval '1 hour', 'infinity')", id=store.account_id)
    assert {row.track_id: row.still_saved for row in found}[liked] is False


def test_a_track_that_was_liked_again_has_two_spans(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    track = simulator.world.edit("unlike", account.name)["track_id"]
    away = driver.incremental_sync(context, account)["sync_id"]
    simulator.world.edit("like", account.name, track=track)
    back = driver.incremental_sync(context, account)["sync_id"]
    old, new = spans(store, track)
    assert (old.to_run, new.from_run, new.to_run) == (away, back, None)
    assert old.added_at < new.added_at


def test_a_sync_without_changes_writes_no_history(context: Context, account: Account, store: Store) -> None:
    driver.full_sync(context, account)
    before = counted(store)
    for each in (driver.incremental_sync, driver.full_sync):
        each(context, account)
        assert counted(store) == before


def test_an_interrupted_run_has_correct_spans(
    make_context: Callable[..., Context], simulator: Server, context: Context, account: Account, store: Store
) -> None:
    small = make_context(simulator, tracks_batch_size=50)
    run = driver.start(small, account)
    driver.step(small, run)
    store.claim(driver.get_run(small, run))  # a batch that was started and never committed
    assert driver.run_to_end(small, run)["status"] == "success"
    truth = expected(simulator.world.truth(account.name))["saved_tracks"]
    assert library(store, store.one("SELECT clock_timestamp()")) == truth
    assert store.sql("SELECT DISTINCT from_run, to_at FROM saved_spans") == [(run.id, None)]
    accounts.remove(context, account.name)
    assert [store.one(f"SELECT count(*) FROM {table}") for table in ("saved_spans", "playlist_spans")] == [0, 0]
