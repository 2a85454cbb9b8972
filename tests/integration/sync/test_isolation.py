"""What Spotify can't serve is put aside alone: everything else is read, and no row is lost."""

from collections.abc import Callable
from typing import Any

import pytest

from spotisync import status
from spotisync.simulator import Server, start
from spotisync.sync import Context, accounts, runs
from spotisync.sync.enrich import enrich
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

LISTS = {
    "/v1/me/tracks": "saved_tracks",
    "/v1/me/following": "followed_artists",
    "/v1/me/albums": "saved_albums",
    "/v1/me/playlists": "account_playlists",
}
Sync = Callable[[Context, Account], dict[str, Any]]
SYNCS = [driver.full_sync, driver.incremental_sync]
BOTH = mostly_slow(SYNCS)


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.database)


def own_playlists(server: Server) -> list[str]:
    return [row["id"] for row in server.world.truth()["playlists"] if row["access"] == "ok" and row["total_items"]]


def refuse(server: Server, path: str, **rule: Any) -> None:
    """spotify/web-api#275, #876; exportify#122; spotify_to_ytmusic#91: 502 for years."""
    server.control.add_fault(**{"status": 502, "body": "html", "times": None, **rule}, path=path)


def scheduled(context: Context, account: Account) -> dict[str, Any]:
    return driver.run_to_end(context, runs.trigger(context, account.name, "incremental", "beat").run)


@pytest.mark.parametrize("sync", BOTH)
def test_one_playlist_is_deferred_alone(
    sync: Sync, context: Context, simulator: Server, account: Account, store: Store
) -> None:
    bad = own_playlists(simulator)[0]
    refuse(simulator, f"/playlists/{bad}/")
    summary = sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 1)
    rows = store.sql("SELECT playlist_id, deferred_reason FROM account_playlists WHERE items_status = 'deferred'")
    assert [(row.playlist_id, "502" in row.deferred_reason) for row in rows] == [(bad, True)]
    assert store.one("SELECT count(*) FROM account_playlists WHERE items_status = 'pending'") == 0
    simulator.control.clear_faults()
    summary = sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.mark.parametrize("sync", BOTH)
@pytest.mark.parametrize("path", mostly_slow(LISTS, 2))
def test_a_list_that_always_fails_does_not_keep_the_others_from_being_read(
    path: str, sync: Sync, context: Context, simulator: Server, account: Account, store: Store
) -> None:
    refuse(simulator, path)
    summary = sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 1)
    for other in LISTS.values():
        rows = store.one(f"SELECT count(*) FROM {other}")
        assert (rows > 0) == (other != LISTS[path]), other
    simulator.control.clear_faults()
    assert sync(context, account)["items_deferred"] == 0
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.mark.parametrize("path", mostly_slow(LISTS, 2))
def test_a_list_that_begins_to_fail_keeps_its_rows(
    path: str, context: Context, simulator: Server, account: Account
) -> None:
    driver.full_sync(context, account)
    refuse(simulator, path)
    for sync in SYNCS:
        summary = sync(context, account)
        assert (summary["status"], summary["items_removed"]) == ("success", 0)
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.mark.parametrize("status", [502, 403])
def test_a_run_that_can_read_nothing_fails(status: int, context: Context, simulator: Server, account: Account) -> None:
    refuse(simulator, "/v1/me/(tracks|following|albums|playlists)", status=status, body="json")
    summary = driver.full_sync(context, account)
    assert summary["status"] == "failed"
    assert str(status) in summary["last_error"]
    simulator.control.clear_faults()
    run = driver.get_run(context, runs.resume(context, summary["sync_id"]).run)
    assert driver.run_to_end(context, run)["status"] == "success"


def test_an_outage_of_everything_defers_nothing(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    refuse(simulator, "/v1/", times=12)
    summary = driver.full_sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


def test_one_page_is_passed_by(make_context: Callable[..., Context], store: Store) -> None:
    with start(160, seed=7) as server:
        context = make_context(server)
        account = Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)
        driver.full_sync(context, account)
        refuse(server, r"/v1/me/tracks.*offset=(49|5\d|6\d)\b")
        before = store.one("SELECT count(*) FROM saved_tracks WHERE removed_at IS NULL")
        server.world.edit("like")
        summary = driver.full_sync(context, account)
        assert (summary["status"], summary["items_removed"]) == ("success", 0)
        assert summary["items_deferred"] > 0
        assert store.one("SELECT count(*) FROM saved_tracks WHERE removed_at IS NULL") == before + 1
        server.control.clear_faults()
        assert driver.incremental_sync(context, account)["items_deferred"] == 0
        assert_tables_equal_truth(context, account, server.world.truth(account.name))


def test_later_runs_try_again_at_growing_intervals_and_a_person_at_once(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    bad = own_playlists(simulator)[0]
    refuse(simulator, f"/playlists/{bad}/")
    refuse(simulator, "/v1/me/following")
    driver.full_sync(context, account)

    def tried() -> tuple[bool, bool]:
        paths = [request["path"] for request in simulator.control.requests()]
        simulator.control.reset_log()
        return any(bad in path for path in paths), any("/following" in path for path in paths)

    tried()
    assert scheduled(context, account)["items_deferred"] == 2
    assert tried() == (True, True), "the next run tries again"
    for _ in range(2):
        assert scheduled(context, account)["items_deferred"] == 2, "deferred by the run before"
        assert tried() == (False, False)
    driver.incremental_sync(context, account)
    assert tried() == (True, True), "a person's run always tries"
    for table in ("listings", "account_playlists"):
        (hours,) = store.sql(f"SELECT EXTRACT(epoch FROM max(deferred_until) - now()) / 3600 AS h FROM {table}")
        assert 1.9 < hours.h <= 2


def test_a_look_up_that_always_fails_is_left_out(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    simulator.control.add_fault(status=500, path="/v1/artists", times=None)
    summary = driver.full_sync(context, account)
    assert summary["status"] == "success"
    assert summary["items_deferred"] >= store.one("SELECT count(*) FROM artists WHERE enrichment = 'stub'") > 0
    assert store.one("SELECT count(*) FROM account_playlists WHERE items_status = 'synced'") > 0


def test_the_status_says_what_is_deferred_and_why(context: Context, simulator: Server, account: Account) -> None:
    bad = own_playlists(simulator)[0]
    refuse(simulator, f"/playlists/{bad}/")
    refuse(simulator, "/v1/me/following")
    run = driver.start(context, account)
    driver.run_to_end(context, run)
    with context.database.begin() as connection:
        document = status.run(connection, context.settings, run.id)
    assert document
    artists, playlist = document["deferred"]
    assert (artists["kind"], artists["name"]) == ("list", "followed artists")
    assert (playlist["kind"], playlist["id"]) == ("playlist", bad)
    assert playlist["name"] == simulator.world.playlists[bad].name
    assert all("502" in each["reason"] and each["retry_at"] for each in document["deferred"])
    assert any("Followed artists were not read" in note for note in document["notes"])
    assert any("Contents that could not be read" in note and "502" in note for note in document["notes"])


@pytest.mark.slow
def test_an_incremental_reads_the_head_although_a_page_always_fails(
    make_context: Callable[..., Context], store: Store
) -> None:
    with start(460, seed=7) as server:
        context = make_context(server)
        account = Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)
        driver.full_sync(context, account)
        refuse(server, r"/v1/me/tracks.*offset=(?!0\b)")  # all pages but the first
        calls = []
        for _ in range(8):
            server.world.edit("like")
            server.world.edit("unlike")
            server.control.reset_log()
            summary = scheduled(context, account)
            assert (summary["status"], summary["phases"]["tracks"]["items_added"]) == ("success", 1)
            stored = store.sql("SELECT track_id FROM saved_tracks WHERE removed_at IS NULL")
            assert {row["track_id"] for row in server.world.truth()["saved_tracks"]} <= {id_ for (id_,) in stored}
            calls.append(sum("/me/tracks" in request["path"] for request in server.control.requests()))
        assert sorted(calls)[:6] == [1] * 6, "the head alone, except in the next run and after it"
        server.control.clear_faults()
        server.world.clock_offset += 120
        assert driver.incremental_sync(context, account)["items_deferred"] == 0
        assert_tables_equal_truth(context, account, server.world.truth(account.name))


def test_scheduled_syncs_do_not_try_unreadable_saved_tracks_each_time(
    context: Context, simulator: Server, account: Account
) -> None:
    driver.full_sync(context, account)
    refuse(simulator, "/v1/me/tracks")
    calls = []
    for _ in range(4):
        simulator.control.reset_log()
        summary = scheduled(context, account)
        assert (summary["status"], summary["items_deferred"]) == ("success", 1)
        calls.append(sum("/me/tracks" in request["path"] for request in simulator.control.requests()))
    assert calls == [5, 5, 0, 0]
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.mark.parametrize("regime", ["full", "restricted"])
def test_the_backlog_goes_on_behind_an_id_that_always_fails(
    regime: Any, make_context: Callable[..., Context], store: Store
) -> None:
    with start("tiny", seed=7, regime=regime) as server:
        context = make_context(server, enrichment="always")
        account = Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)
        driver.full_sync(context, account)
        store.sql("UPDATE artists SET enrichment = 'stub', enriched_at = NULL, lookup_attempts = 0")
        bad = store.one("SELECT min(id) FROM artists")
        refuse(server, f"/artists.*{bad}")
        for _ in range(20):
            enrich(context)
            store.sql("UPDATE artists SET lookup_until = NULL, lookup_sync_id = NULL")
        assert store.sql("SELECT id FROM artists WHERE enrichment = 'stub'") == [(bad,)]


@pytest.mark.parametrize("path", ["/v1/me/tracks", "/v1/me/albums", "/v1/me/playlists"])
def test_a_login_that_lacks_a_scope_reads_the_other_lists(
    path: str, context: Context, simulator: Server, account: Account, store: Store
) -> None:
    refuse(simulator, path, status=403, body="json", message="Insufficient client scope")
    run = driver.start(context, account)
    summary = driver.run_to_end(context, run)
    assert (summary["status"], summary["items_deferred"]) == ("success", 1)
    assert [store.one(f"SELECT count(*) FROM {table}") > 0 for table in LISTS.values()].count(False) == 1
    with context.database.begin() as connection:
        document = status.run(connection, context.settings, run.id)
    assert document
    assert "scope" in document["deferred"][0]["reason"]


def test_one_id_that_is_forbidden_does_not_defer_the_others(make_context: Callable[..., Context], store: Store) -> None:
    with start("tiny", seed=7, regime="restricted") as server:
        context = make_context(server, enrichment="always")
        account = Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)
        bad = next(iter(server.world.truth()["track_artists"].values()))[0]
        refuse(server, f"/artists/{bad}", status=403, body="json")
        assert driver.full_sync(context, account)["status"] == "success"
        assert store.sql("SELECT id FROM artists WHERE enrichment = 'stub'") == [(bad,)]


def test_a_page_that_is_refused_is_passed_by(make_context: Callable[..., Context], store: Store) -> None:
    with start(160, seed=7) as server:
        context = make_context(server)
        account = Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)
        refuse(server, r"/v1/me/tracks.*offset=(49|50)\b", status=404, body="json")
        summary = driver.full_sync(context, account)
        assert summary["status"] == "success"
        assert summary["items_deferred"] > 0
        assert store.one("SELECT count(*) FROM saved_tracks") > 100
        assert not store.one("SELECT unread FROM listings WHERE list = 'saved_tracks'")
