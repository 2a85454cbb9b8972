"""Undocumented behaviour of Spotify, handled by the whole program (table: unit/test_oddities.py)."""

from collections.abc import Callable
from typing import Any

import pytest

from spotisync.simulator import Server, start
from spotisync.sync import Context, accounts
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth


def check(context: Context, simulator: Server, account: Account, *, deferred: int = 0) -> dict[str, Any]:
    summary = driver.full_sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", deferred)
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))
    return summary


def lone_tracks(simulator: Server) -> list[str]:
    """Return saved tracks whose saved-at second is unique."""
    world = simulator.world
    seconds = [added for added, _ in world.first.saved]
    return [
        world.catalogue.ids.of("track", track)
        for added, track in world.first.saved
        if track >= 0 and seconds.count(added) == 1
    ]


# ---- null rows ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_a_track_hidden_by_a_null_row_stays_until_that_row_disappears(
    context: Context, simulator: Server, account: Account, whole: bool
) -> None:
    check(context, simulator, account)
    hidden, unliked, *_ = lone_tracks(simulator)
    world = simulator.world
    world.edit("hide_track", track=hidden, whole=whole)
    for _ in range(2):
        assert check(context, simulator, account, deferred=1)["items_removed"] == 0
    world.edit("unlike", track=unliked)
    assert check(context, simulator, account, deferred=1)["items_removed"] == 1
    world.edit("show_track", track=hidden)
    assert check(context, simulator, account)["items_removed"] == 0
    world.edit("hide_track", track=hidden, whole=whole)
    check(context, simulator, account, deferred=1)
    world.edit("unlike", track=hidden)
    assert check(context, simulator, account)["items_removed"] == 1


def test_detects_a_removal_beside_old_null_rows(context: Context, simulator: Server, account: Account) -> None:
    check(context, simulator, account)
    simulator.world.edit("unlike")
    simulator.world.edit("delete_playlist")
    assert check(context, simulator, account)["items_removed"] == 2


def test_a_playlist_hidden_by_a_null_row_keeps_its_contents(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    check(context, simulator, account)
    world = simulator.world
    last = [id_ for id_ in world.first.playlists if id_][-1]
    world.edit("hide_playlist", playlist=last)
    for _ in range(2):
        assert check(context, simulator, account, deferred=1)["items_removed"] == 0
    world.edit("create_playlist", name="new")
    newest = world.first.playlists[0]
    driver.full_sync(context, account)
    world.edit("delete_playlist", playlist=newest)
    assert check(context, simulator, account, deferred=1)["items_removed"] == 1
    world.edit("show_playlist", playlist=last)
    check(context, simulator, account)
    world.edit("hide_playlist", playlist=last)
    check(context, simulator, account, deferred=1)
    world.edit("delete_playlist", playlist=last)
    assert check(context, simulator, account)["items_removed"] == 1
    assert (
        store.one("SELECT count(*) FROM account_playlists WHERE hidden_since IS NOT NULL AND removed_at IS NULL") == 0
    )


def test_a_new_null_row_among_playlists_hides_no_later_removal(
    context: Context, simulator: Server, account: Account
) -> None:
    """Like after following a playlist made by Spotify."""
    check(context, simulator, account)
    simulator.world.first.playlists.insert(1, None)
    check(context, simulator, account)
    simulator.world.edit("delete_playlist")
    assert check(context, simulator, account)["items_removed"] == 1


def test_stores_the_counts_of_a_proven_walk(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    """Two null rows and a duplicate of Spotify's total have no stored row."""
    check(context, simulator, account)
    found = store.sql(
        """SELECT a.id, walked_total, null_rows FROM accounts a JOIN listings l ON l.account_id = a.id
        WHERE l.list = 'playlists'"""
    )
    assert [row[1:] for row in found] == [(33, simulator.world.first.playlists.count(None))]
    assert store.one("SELECT sum(rows) FROM excess_rows WHERE account_id = :id", id=found[0].id) == 3


# ---- missing fields of a playlist -----------------------------------------------------------------------------------


def test_keeps_playlist_fields_that_the_list_omits(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    world = simulator.world
    check(context, simulator, account)
    mixed = store.one("SELECT id FROM playlists WHERE collaborative ORDER BY id LIMIT 1")
    columns = "id, name, description, owner_id, owner_name, public, collaborative, snapshot_id, total_items, image_url"
    before = store.sql(f"SELECT {columns} FROM playlists ORDER BY id")
    fields = ("collaborative", "snapshot_id", "total", "owner", "name", "description", "public", "images")
    world.edit("withhold", playlist=mixed, fields=fields)
    check(context, simulator, account)
    assert store.sql(f"SELECT {columns} FROM playlists ORDER BY id") == before


def test_reads_contents_with_an_unknown_snapshot_every_time(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    check(context, simulator, account)
    done = simulator.world.edit("withhold", fields=("snapshot_id", "total"))
    simulator.world.edit("add_items", playlist=done["playlist_id"])
    check(context, simulator, account)
    simulator.world.edit("remove_items", playlist=done["playlist_id"], count=1_000)
    check(context, simulator, account)
    simulator.world.edit("add_items", playlist=done["playlist_id"])
    check(context, simulator, account)


def test_a_missing_total_with_a_new_snapshot_is_not_the_old_total(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    """Otherwise an empty playlist would stay empty forever."""
    made = simulator.world.edit("create_playlist", tracks=[])["playlist_id"]
    check(context, simulator, account)
    simulator.world.edit("withhold", playlist=made, fields=("total",))
    simulator.world.edit("add_items", playlist=made, count=3)
    check(context, simulator, account)
    assert store.one("SELECT total_items FROM playlists WHERE id = :id", id=made) == 3


# ---- withdrawn ids --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "phase"), [("artist", "artists"), ("album", "albums")])
def test_an_id_withdrawn_before_its_look_up_is_gone(
    context: Context, simulator: Server, account: Account, kind: str, phase: str
) -> None:
    def withdraw(run: Any) -> None:
        if run.phase == phase and run.seq == 0:
            met = simulator.world.truth()[f"{kind}s"]
            simulator.world.edit("withdraw", kind=kind, id=next(id_ for id_, each in met.items() if not each["gone"]))

    summary = driver.run_to_end(context, driver.start(context, account), before=withdraw)
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


def test_an_id_withdrawn_after_its_look_up_keeps_what_is_known(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    check(context, simulator, account)
    known = store.one("SELECT id FROM artists WHERE enrichment = 'full' ORDER BY id LIMIT 1")
    before = store.sql("SELECT * FROM artists WHERE id = :id", id=known)
    simulator.world.edit("withdraw", kind="artist", id=known)
    assert driver.full_sync(context, account)["status"] == "success"
    assert store.sql("SELECT * FROM artists WHERE id = :id", id=known) == before


# ---- snapshots ------------------------------------------------------------------------------------------------------


def test_contents_are_right_although_the_snapshot_id_lags(
    context: Context, simulator: Server, account: Account
) -> None:
    """Rows change at once; the snapshot id first becomes a meaningless one, and thirty seconds later the new one."""
    world = simulator.world
    world.snapshot_lag = 30
    check(context, simulator, account)
    done = world.edit("add_items")
    for _ in range(3):
        assert driver.full_sync(context, account)["status"] == "success"
        world.edit("reorder_items", playlist=done["playlist_id"], start=0, length=2)
        world.clock_offset += 16
    world.clock_offset += 30
    check(context, simulator, account)


def test_an_account_reads_a_playlist_that_another_account_has_read(
    make_context: Callable[..., Context], store: Store
) -> None:
    """Stored contents do not imply that this account may read them."""
    with start("tiny", seed=7, accounts=2) as simulator:
        context = make_context(simulator)
        for name in simulator.world.accounts:
            account = Account(accounts.add(context, simulator.refresh_token(name), None).spotify_user_id)
            assert driver.full_sync(context, account)["status"] == "success"
            listed = simulator.world.truth(name)["playlists"]
            found = store.sql(
                """SELECT playlist_id FROM account_playlists JOIN accounts ON id = account_id
                WHERE spotify_user_id = :name AND items_status = 'forbidden'""",
                name=account.name,
            )
            assert {id_ for (id_,) in found} == {each["id"] for each in listed if each["access"] == "forbidden"}
