"""History queries: spans of saved tracks, versions of playlists, changes of a run; and trimming."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from spotisync.simulator import Server
from spotisync.sync import Context, accounts
from spotisync.sync import runs as lifecycle
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


def test_trimming_keeps_current_rows(
    make_context: Callable[..., Context], simulator: Server, context: Context, account: Account, store: Store
) -> None:
    store.sql("DELETE FROM history_retention")
    runs = [driver.full_sync(context, account)["sync_id"]]
    gone = simulator.world.edit("unlike", account.name)["track_id"]
    runs.append(driver.full_sync(context, account)["sync_id"])
    open_spans = store.one("SELECT count(*) FROM saved_spans WHERE to_at IS NULL")
    versions = store.one("SELECT count(*) FROM playlist_versions")
    store.sql("UPDATE sync_history SET completed_at = completed_at - interval '90 days'")
    store.sql("UPDATE saved_spans SET from_at = from_at - interval '90 days', to_at = to_at - interval '90 days'")
    store.sql("UPDATE playlist_versions SET read_at = read_at - interval '90 days'")
    keeping = make_context(simulator, retention_days=30)
    assert lifecycle.trim(keeping) == 2  # the first run, and the span that ended
    assert lifecycle.trim(keeping) == 0  # trimming runs once an hour
    assert store.sql("SELECT id FROM sync_history") == [(runs[1],)]
    assert spans(store, gone) == []
    assert store.one("SELECT count(*) FROM saved_spans") == open_spans
    assert store.one("SELECT count(*) FROM playlist_versions") == versions


def test_the_retained_period_is_complete_and_older_times_are_rejected(
    make_context: Callable[..., Context], simulator: Server, context: Context, account: Account, store: Store
) -> None:
    """Three runs, a month apart; the second one ended just before the horizon."""
    mine = simulator.world.edit("create_playlist", account.name)["playlist_id"]
    truths, runs = [], []
    for _ in range(3):
        runs.append(driver.full_sync(context, account)["sync_id"])
        truths.append(expected(simulator.world.truth(account.name))["saved_tracks"])
        for table, column in OLDER:
            store.sql(f"UPDATE {table} SET {column} = {column} - interval '31 days'")
        simulator.world.edit("unlike", account.name)
        simulator.world.edit("add_items", account.name, playlist=mine)
        simulator.world.clock_offset += 120
    store.sql("DELETE FROM history_retention")
    assert lifecycle.trim(make_context(simulator, retention_days=50)) > 0
    assert store.sql("SELECT id FROM sync_history ORDER BY id") == [(runs[1],), (runs[2],)]
    now = store.one("SELECT clock_timestamp()")
    assert library(store, now - timedelta(days=49)) == truths[1]
    assert library(store, now) == truths[2]
    versions = [
        store.one("SELECT count(*) FROM playlist_as_of(:id, :at)", id=mine, at=now - timedelta(days=d)) for d in (49, 0)
    ]
    assert versions[0] < versions[1]
    for query in ("library_as_of(1, :at)", "playlist_as_of('x', :at)"):
        with pytest.raises(DBAPIError, match="has been deleted"):
            store.sql(f"SELECT * FROM {query}", at=now - timedelta(days=51))


OLDER = (
    ("sync_history", "completed_at"), ("saved_spans", "from_at"), ("saved_spans", "to_at"),
    ("playlist_versions", "read_at"), ("playlist_spans", "from_at"), ("playlist_spans", "to_at"),
)  # fmt: skip


def trimmed(make_context: Callable[..., Context], simulator: Server, store: Store) -> int:
    store.sql("DELETE FROM history_retention")
    return lifecycle.trim(make_context(simulator, retention_days=30))


def test_trimming_a_run_keeps_it_while_a_caller_is_unanswered(
    make_context: Callable[..., Context], simulator: Server, store: Store
) -> None:
    answered, waits, *_ = [store.run(status="success", phase="finish", completed_at="now()").id for _ in range(4)]
    store.sql("UPDATE sync_history SET completed_at = now() - interval '90 days' + id * interval '1 second'")
    store.sql(
        """INSERT INTO waiters (task_id, sync_id, envelope, answered_at)
        VALUES ('answered', :answered, '{}', now()), ('waits', :waits, '{}', NULL)""",
        answered=answered,
        waits=waits,
    )
    assert trimmed(make_context, simulator, store) == 2
    assert store.sql("SELECT task_id FROM waiters") == [("waits",)]
    assert store.sql("SELECT 1 FROM sync_history WHERE id = :id", id=waits)


def test_trimming_keeps_the_version_valid_at_the_horizon(
    make_context: Callable[..., Context], simulator: Server, store: Store
) -> None:
    store.sql("INSERT INTO playlists (id, collaborative, snapshot_id) VALUES ('p', false, 's')")
    for days in (50, 40, 35, 20):
        store.sql(
            f"INSERT INTO playlist_versions VALUES ('p', now() - interval '{days} days', 's', NULL, '[[{days}, null]]')"
        )
    assert trimmed(make_context, simulator, store) == 2
    ago = {days: store.one(f"SELECT now() - interval '{days} days'") for days in (15, 25, 29, 34)}
    assert [[*playlist(store, "p", ago[days])] for days in (15, 25, 29)] == [[20], [35], [35]]
    with pytest.raises(DBAPIError, match="has been deleted"):
        playlist(store, "p", ago[34])
