"""A whole sync in one process: tables == truth, and nothing is written twice."""

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from spotisync.core.requests import Request
from spotisync.simulator import Server, start
from spotisync.sync import Sync, enrol
from tests import drive
from tests.drive import Account
from tests.truth import assert_tables_equal_truth


def test_tables_equal_truth(sync: Sync, simulator: Server, account: Account) -> None:
    summary = drive.full_sync(sync, account)
    assert summary["status"] == "success"
    assert summary["items_deferred"] == 0
    assert_tables_equal_truth(sync, account, simulator.world.truth(account.name))


def test_a_second_sync_writes_nothing(sync: Sync, account: Account) -> None:
    first = drive.full_sync(sync, account)
    before = _versions(sync)
    second = drive.full_sync(sync, account)
    assert _versions(sync) == before
    assert (second["items_added"], second["items_updated"], second["items_removed"]) == (0, 0, 0)
    assert second["api_calls"] < first["api_calls"]


def _versions(sync: Sync) -> dict[str, list[tuple[str, ...]]]:
    """Which transaction wrote each row; a row written anew, though the same, has another."""
    with sync.database.begin() as connection:
        return {
            table: sorted(tuple(row) for row in connection.execute(text(f"SELECT xmin::text, ctid::text FROM {table}")))
            for table in (
                "artists",
                "albums",
                "tracks",
                "track_artists",
                "album_artists",
                "saved_tracks",
                "playlist_items",
            )
        }


def test_an_id_that_spotify_refuses_spoils_it_for_no_other(sync: Sync, simulator: Server, account: Account) -> None:
    with sync.database.begin() as connection:
        connection.execute(text("INSERT INTO artists (id, uri) VALUES ('not-an-id', 'spotify:artist:not-an-id')"))
    summary = drive.full_sync(sync, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert_tables_equal_truth(sync, account, simulator.world.truth(account.name))
    with sync.database.begin() as connection:
        found = connection.execute(text("SELECT enrichment FROM artists WHERE id = 'not-an-id'"))
        assert found.scalar_one() == "gone"


def test_edits_between_two_syncs(make_sync: Callable[..., Sync]) -> None:
    with start("tiny", seed=11) as simulator:
        sync = make_sync(simulator)
        account = Account(enrol.add(sync, simulator.refresh_token(), None).spotify_user_id)
        drive.full_sync(sync, account)
        for _ in range(30):
            simulator.world.random_edit()
        drive.full_sync(sync, account)
        assert_tables_equal_truth(sync, account, simulator.world.truth(account.name))


def test_a_library_of_thousands_equals_the_truth_row_by_row(make_sync: Callable[..., Sync]) -> None:
    """The demo's library: what `make demo` counts is compared here in every column."""
    with start("small") as simulator:
        sync = make_sync(simulator)
        account = Account(enrol.add(sync, simulator.refresh_token(), None).spotify_user_id)
        summary = drive.full_sync(sync, account)
        processed = {name: phase["items_processed"] for name, phase in summary["phases"].items()}
        assert processed["tracks"] >= 3_000
        assert processed["artists"] >= 800
        assert processed["albums"] >= 600
        assert processed["playlists"] >= 40
        assert_tables_equal_truth(sync, account, simulator.world.truth(account.name))


@given(seed=st.integers(0, 10_000), moments=st.lists(st.integers(0, 40), max_size=8), burst=st.integers(1, 20))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_library_that_moves_is_right_after_a_calm_sync(
    make_sync: Callable[..., Sync], seed: int, moments: list[int], burst: int
) -> None:
    """Edits between any two requests; then one full sync in peace."""
    with start(160, seed=seed) as simulator:
        sync = make_sync(simulator, api_concurrency=1)
        _forget(sync)
        account = Account(enrol.add(sync, simulator.refresh_token(), None).spotify_user_id)
        rng = Random(seed)
        requests = itertools.count()
        ask = sync.client.get

        def get(request: Request, access_token: str) -> Any:
            if next(requests) in moments:
                for _ in range(burst):
                    simulator.world.random_edit(rng)
            return ask(request, access_token)

        sync.client.get = get  # type: ignore[method-assign]
        assert drive.full_sync(sync, account)["status"] == "success"
        sync.client.get = ask  # type: ignore[method-assign]
        assert drive.full_sync(sync, account)["status"] == "success"
        assert_tables_equal_truth(sync, account, simulator.world.truth(account.name))


def _forget(sync: Sync) -> None:
    with sync.database.begin() as connection:
        connection.execute(text("TRUNCATE accounts, artists, albums, tracks, playlists, rate_limits, apps CASCADE"))
