"""Saved shows, episodes and audiobooks: read in full syncs, and once a day in incremental ones."""

import contextlib
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from spotisync.core.requests import PAGE, Request
from spotisync.simulator import Server, start
from spotisync.simulator.world.editor import DAILY_EDITS
from spotisync.spotify import client
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

LISTS = {"/v1/me/audiobooks": "saved_audiobooks", "/v1/me/shows": "saved_shows", "/v1/me/episodes": "saved_episodes"}


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.database)


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use pages of two rows for these lists, so that a small library has many pages."""
    get = client.SpotifyClient.get

    def small(self: client.SpotifyClient, request: Request, access_token: str) -> Any:
        monkeypatch.setattr(client, "PAGE", 2 if request.kind in LISTS.values() else PAGE)
        return get(self, request, access_token)

    monkeypatch.setattr(client.SpotifyClient, "get", small)


def right(context: Context, account: Account, server: Server) -> None:
    assert_tables_equal_truth(context, account, server.world.truth(account.name))


def asked(server: Server) -> Counter[str]:
    """Return how often each of the lists was asked for since the last call."""
    paths = Counter(each["path"].partition("?")[0] for each in server.control.requests())
    server.control.reset_log()
    return Counter({path: paths[path] for path in LISTS if paths[path]})


def scheduled(context: Context, account: Account) -> dict[str, Any]:
    return driver.run_to_end(context, runs.trigger(context, account.name, "incremental", "beat").run)


def let_a_day_pass(store: Store) -> None:
    store.sql("UPDATE listings SET attempted_at = attempted_at - interval '25 hours'")


def count(store: Store, table: str) -> int:
    return int(store.one(f"SELECT count(*) FROM {table} WHERE removed_at IS NULL"))


@pytest.mark.parametrize("regime", ["full", "restricted"])
def test_audiobooks_among_the_shows_are_marked(make_context: Callable[..., Context], regime: Any) -> None:
    with start("tiny", regime=regime) as server:
        context = make_context(server, enrichment="always")
        account = Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)
        driver.full_sync(context, account)
        store = Store(context.database)
        assert asked(server) == Counter(dict.fromkeys(LISTS, 1)), "a page each"
        assert_tables_equal_truth(context, account, server.control.truth(account.name))
        assert store.one("SELECT count(*) FROM saved_shows JOIN shows ON id = show_id WHERE is_audiobook") == 2
        assert store.one("SELECT count(*) FROM saved_audiobooks WHERE added_at IS NOT NULL") == 2


def test_a_book_is_known_by_its_list_or_its_description(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    marked = "SELECT count(*) FROM shows WHERE is_audiobook"
    simulator.world.first.has_books = False
    driver.full_sync(context, account)
    assert (store.one(marked), count(store, "saved_audiobooks")) == (2, 0), "by the description"
    store.sql("UPDATE shows SET is_audiobook = false")
    simulator.world.first.has_books = True
    simulator.control.add_fault(kind="missing_fields", fields=["description"], path="/v1/me/shows", times=None)
    driver.full_sync(context, account)
    assert (store.one(marked), count(store, "saved_audiobooks")) == (2, 2), "by the list of audiobooks"
    right(context, account, simulator)


@pytest.mark.parametrize("op", mostly_slow(DAILY_EDITS, 2))
def test_an_edit_is_found_once_a_day(
    op: str, context: Context, simulator: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    asked(simulator)
    simulator.world.edit(op, rng=Random(3))
    assert driver.incremental_sync(context, account)["status"] == "success"
    assert asked(simulator) == Counter(), "read within a day"
    let_a_day_pass(store)
    assert driver.incremental_sync(context, account)["items_deferred"] == 0
    assert set(asked(simulator)) == set(LISTS)
    right(context, account, simulator)
    driver.incremental_sync(context, account)
    assert asked(simulator) == Counter()


@pytest.mark.parametrize("path", mostly_slow(LISTS))
def test_a_list_that_is_refused_is_deferred_alone(
    path: str, context: Context, simulator: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    asked(simulator)
    simulator.control.add_fault(status=403, path=path, times=None)
    let_a_day_pass(store)
    summary = scheduled(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 1)
    assert "Forbidden" in store.one("SELECT deferred_reason FROM listings WHERE list = :name", name=LISTS[path])
    assert asked(simulator) == Counter(dict.fromkeys(LISTS, 1))
    assert scheduled(context, account)["items_deferred"] == 0, "it is not due"
    assert asked(simulator) == Counter()
    right(context, account, simulator)
    simulator.control.clear_faults()
    assert driver.full_sync(context, account)["items_deferred"] == 0
    right(context, account, simulator)


@pytest.mark.parametrize("path", mostly_slow(LISTS))
def test_a_list_that_always_fails_is_deferred_alone(
    path: str, context: Context, simulator: Server, account: Account
) -> None:
    simulator.control.add_fault(status=502, path=path, times=None)
    summary = driver.full_sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 1)
    simulator.control.clear_faults()
    assert driver.full_sync(context, account)["items_deferred"] == 0
    right(context, account, simulator)


@pytest.mark.parametrize("path", mostly_slow(LISTS))
def test_a_list_may_be_read_in_another_run_than_the_others(
    path: str, context: Context, simulator: Server, account: Account, store: Store
) -> None:
    """The dates of audiobooks are in the list of shows."""
    simulator.control.add_fault(status=502, path=path, times=None)
    assert driver.full_sync(context, account)["items_deferred"] == 1
    simulator.control.clear_faults()
    asked(simulator)
    store.sql("UPDATE listings SET attempted_at = now() - interval '25 hours' WHERE list = :name", name=LISTS[path])
    assert driver.incremental_sync(context, account)["items_deferred"] == 0
    assert asked(simulator) == Counter([path])
    right(context, account, simulator)


def test_a_full_run_does_not_wait_long_for_them(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    simulator.control.add_fault(status=429, retry_after=86_400, path="/v1/me/audiobooks", times=None)
    seen: list[str] = []
    summary = driver.run_to_end(context, driver.start(context, account), before=lambda run: seen.append(run.status))
    assert (summary["status"], summary["items_deferred"]) == ("success", 3)
    assert set(seen) <= {"pending", "in_progress"}, "it was never parked"
    let_a_day_pass(store)
    simulator.control.clear_faults()
    store.sql("DELETE FROM rate_limits")
    assert driver.incremental_sync(context, account)["items_deferred"] == 0
    right(context, account, simulator)


@pytest.mark.parametrize("path", mostly_slow(LISTS))
def test_rows_are_removed_after_two_empty_readings_only(
    path: str, context: Context, simulator: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    simulator.control.add_fault(kind="empty_list", path=path)
    driver.full_sync(context, account)
    right(context, account, simulator)
    simulator.control.add_fault(kind="empty_list", path=path, times=None)
    driver.full_sync(context, account)
    assert count(store, LISTS[path]) == 0


def test_the_lists_can_be_switched_off(make_context: Callable[..., Context], simulator: Server) -> None:
    context = make_context(simulator, podcasts=False)
    account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
    for sync in (driver.full_sync, driver.incremental_sync):
        assert sync(context, account)["status"] == "success"
    assert asked(simulator) == Counter()


def test_an_account_takes_its_lists_with_it(context: Context, account: Account, store: Store) -> None:
    driver.full_sync(context, account)
    accounts.remove(context, account.name)
    assert [store.one(f"SELECT count(*) FROM {table}") for table in LISTS.values()] == [0, 0, 0]


@pytest.mark.usefixtures("_small_pages")
def test_an_interrupted_read_continues_with_the_same_list(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    run = driver.start(context, account)
    while not store.one("SELECT count(*) FROM saved_shows"):
        driver.step(context, run)
    runs.cancel(context, run.id)
    asked(simulator)
    runs.resume(context, run.id)
    assert driver.run_to_end(context, run)["status"] == "success"
    assert not asked(simulator)["/v1/me/audiobooks"]
    right(context, account, simulator)


@pytest.mark.slow
@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize("seed", range(6))
def test_changing_lists_are_right_after_a_calm_sync(
    seed: int, context: Context, simulator: Server, account: Account
) -> None:
    rng = Random(seed)
    edits = iter(rng.choices(DAILY_EDITS, k=12))

    def edit(run: Run) -> None:
        if run.phase == "albums" and (op := next(edits, None)):
            with contextlib.suppress(LookupError, IndexError):  # no row is left for this edit
                simulator.world.edit(op, rng=rng)

    driver.full_sync(context, account)
    for _ in range(2):
        driver.run_to_end(context, driver.start(context, account), before=edit)
    driver.full_sync(context, account)
    right(context, account, simulator)
