"""A full sync in one process: tables == truth, and nothing is written twice."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from spotisync.simulator import Server, start
from spotisync.sync import Context, accounts
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store
from tests.support.truth import assert_tables_equal_truth


def test_tables_equal_the_truth(context: Context, simulator: Server, account: Account) -> None:
    summary = driver.full_sync(context, account)
    assert summary["status"] == "success"
    assert summary["items_deferred"] == 0
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


def test_a_second_sync_writes_nothing(context: Context, account: Account) -> None:
    first = driver.full_sync(context, account)
    before = _versions(context)
    second = driver.full_sync(context, account)
    assert _versions(context) == before
    assert (second["items_added"], second["items_updated"], second["items_removed"]) == (0, 0, 0)
    assert second["api_calls"] < first["api_calls"]


def _versions(context: Context) -> dict[str, list[tuple[str, ...]]]:
    """Return the transaction that wrote each row; rewriting an equal row changes it."""
    with context.database.begin() as connection:
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


def test_an_id_that_spotify_refuses_does_not_affect_others(
    context: Context, simulator: Server, account: Account
) -> None:
    # By a play: a stub that no account has is left to the backlog.
    store = Store(context.database)
    store.sql("INSERT INTO artists (id, uri) VALUES ('not-an-id', 'u')")
    store.sql("INSERT INTO tracks (id, uri) VALUES ('played', 'u')")
    store.sql("INSERT INTO track_artists VALUES ('played', 0, 'not-an-id')")
    store.sql(
        """INSERT INTO play_history (account_id, played_at, track_id, source)
        SELECT id, now(), 'played', 'recent' FROM accounts"""
    )
    summary = driver.full_sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert store.one("SELECT enrichment FROM artists WHERE id = 'not-an-id'") == "gone"
    store.sql("DELETE FROM play_history")
    store.sql("DELETE FROM tracks WHERE id = 'played'")
    store.sql("DELETE FROM artists WHERE id = 'not-an-id'")
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


def test_a_sync_stores_edits_made_since_the_last_one(make_context: Callable[..., Context]) -> None:
    with start("tiny", seed=11) as simulator:
        context = make_context(simulator)
        account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
        driver.full_sync(context, account)
        for _ in range(30):
            simulator.world.random_edit()
        driver.full_sync(context, account)
        assert_tables_equal_truth(context, account, simulator.world.truth(account.name))


@pytest.mark.slow
def test_a_library_of_thousands_equals_the_truth_row_by_row(make_context: Callable[..., Context]) -> None:
    """The demo's library, whose rows `make demo` only counts, compared in every column."""
    with start("small") as simulator:
        context = make_context(simulator)
        account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
        summary = driver.full_sync(context, account)
        processed = {name: phase["items_processed"] for name, phase in summary["phases"].items()}
        assert processed["tracks"] >= 3_000
        assert processed["artists"] >= 800
        assert processed["albums"] >= 600
        assert processed["playlists"] >= 40
        assert_tables_equal_truth(context, account, simulator.world.truth(account.name))
