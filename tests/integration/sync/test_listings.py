"""Saved albums and followed artists in full and incremental runs, with edits and errors in between."""

import contextlib
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from spotisync import status
from spotisync.core.requests import PAGE, Request
from spotisync.simulator import Server, start
from spotisync.spotify import client
from spotisync.store.runs import Run
from spotisync.sync import Context, accounts, runs
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth

KINDS = ("saved_albums", "followed_artists")
LISTS = ("/v1/me/albums", "/v1/me/following")
EDITS = ("save_album", "unsave_album", "follow", "unfollow")


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.database)


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use pages of two rows for these lists, so that a small library has many pages."""
    get = client.SpotifyClient.get

    def small(self: client.SpotifyClient, request: Request, access_token: str) -> Any:
        monkeypatch.setattr(client, "PAGE", 2 if request.kind in KINDS else PAGE)
        return get(self, request, access_token)

    monkeypatch.setattr(client.SpotifyClient, "get", small)


def asked(server: Server) -> Counter[str]:
    paths = (each["path"].partition("?")[0] for each in server.control.requests())
    return Counter(path for path in paths if path in LISTS)


def grow(server: Server, rows: int = 4) -> None:
    """Add more than one page to each list."""
    rng = Random(1)
    while len(server.world.first.albums) < rows:
        server.world.edit("save_album", rng=rng)
    with contextlib.suppress(LookupError):  # no further object is available
        while len(server.world.first.followed) < rows:
            server.world.edit("follow", rng=rng)


def try_(server: Server, op: str, rng: Random) -> None:
    with contextlib.suppress(LookupError, IndexError):  # no row is left for this edit
        server.world.edit(op, rng=rng)


def right(context: Context, account: Account, server: Server) -> None:
    assert_tables_equal_truth(context, account, server.control.truth(account.name))


def incremental(context: Context, account: Account, server: Server) -> Counter[str]:
    server.control.reset_log()
    assert driver.incremental_sync(context, account)["status"] == "success"
    return asked(server)


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.slow
@pytest.mark.parametrize("regime", ["full", "restricted"])
def test_full_and_incremental_runs_store_what_spotify_lists(make_context: Callable[..., Context], regime: Any) -> None:
    with start("tiny", seed=7, regime=regime) as server:
        context = make_context(server, enrichment="always")
        account = Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)
        grow(server)
        rng = Random(4)
        edits = iter(EDITS * 4)

        def edit(run: Run) -> None:
            if run.phase in ("artists", "albums") and (op := next(edits, None)):
                try_(server, op, rng)

        driver.run_to_end(context, driver.start(context, account), before=edit)
        driver.full_sync(context, account)
        right(context, account, server)
        assert incremental(context, account, server) == Counter(dict.fromkeys(LISTS, 1)), "nothing has changed"
        for op in (*EDITS, *EDITS):
            try_(server, op, rng)
            incremental(context, account, server)
            right(context, account, server)


@pytest.mark.usefixtures("_small_pages")
def test_removes_an_album_although_another_one_keeps_the_total(
    context: Context, simulator: Server, account: Account
) -> None:
    grow(simulator, rows=6)
    driver.full_sync(context, account)
    library = simulator.world.first
    before = len(library.albums)
    _, last = next(row for row in reversed(library.albums) if row[1] is not None)
    assert last is not None
    simulator.world.edit("unsave_album", album=simulator.world.catalogue.ids.of("album", last))
    simulator.world.edit("save_album", rng=Random(9))
    assert len(library.albums) == before
    assert incremental(context, account, simulator)["/v1/me/albums"] > 1
    right(context, account, simulator)


@pytest.mark.usefixtures("_small_pages")
def test_reads_the_whole_list_once_a_day(context: Context, simulator: Server, account: Account, store: Store) -> None:
    grow(simulator)
    driver.full_sync(context, account)
    store.sql("UPDATE listings SET read_at = read_at - interval '25 hours'")
    assert all(calls > 1 for calls in incremental(context, account, simulator).values())
    assert set(incremental(context, account, simulator).values()) == {1}


@pytest.mark.usefixtures("_small_pages")
def test_an_interrupted_read_continues_where_it_stopped(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    grow(simulator, 6)
    run = driver.start(context, account)
    while driver.get_run(context, run).phase != "albums":
        driver.step(context, run)
    driver.step(context, run)
    assert store.one("SELECT count(*) FROM saved_albums") in (1, 2), "one row may be null"
    runs.cancel(context, run.id)
    simulator.control.reset_log()
    runs.resume(context, run.id)
    assert driver.run_to_end(context, run)["status"] == "success"
    assert asked(simulator)["/v1/me/albums"] in (2, 2 + 3), "a list with a null row is read a second time"
    right(context, account, simulator)


@pytest.mark.usefixtures("_small_pages")
def test_percent_complete_never_decreases(context: Context, simulator: Server, account: Account, store: Store) -> None:
    grow(simulator)
    seen: dict[str, list[float]] = {"artists": [], "albums": []}

    def record_percent(_: Run) -> None:
        for phase, percents in seen.items():
            percents += [
                value
                for (value,) in store.sql("SELECT percent_complete FROM sync_state WHERE entity_type = :p", p=phase)
                if value is not None
            ]

    driver.run_to_end(context, driver.start(context, account), before=record_percent)
    for percents in seen.values():
        assert percents == sorted(percents)
        assert 0 <= percents[0] <= percents[-1] == 100


@pytest.mark.parametrize("message", ["Insufficient client scope", "Forbidden"])
@pytest.mark.parametrize("sync_type", ["full", "incremental"])
def test_a_login_without_the_scope_defers_the_lists_with_a_reason(
    context: Context, simulator: Server, account: Account, store: Store, message: str, sync_type: Any
) -> None:
    simulator.control.add_fault(status=403, message=message, path="/v1/me/following", times=None)
    run = runs.trigger(context, account.name, sync_type, "cli").run
    summary = driver.run_to_end(context, run)
    assert (summary["status"], summary["items_deferred"]) == ("success", 1)
    assert store.one("SELECT items_deferred FROM sync_state WHERE entity_type = 'artists'") == 1
    with context.database.begin() as connection:
        document = status.run(connection, context.settings, run.id)
    assert document
    assert any("Followed artists were not read" in note for note in document["notes"])


def test_an_incremental_does_not_wait_for_the_lists(
    context: Context, simulator: Server, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    simulator.control.add_fault(status=429, retry_after=86_400, path="/v1/me/albums", times=None)
    summary = driver.incremental_sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 1)
