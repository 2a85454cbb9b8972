"""Look-ups: one run at a time claims a stub, the most saved first, and claims expire."""

from threading import Thread

import pytest
from sqlalchemy import text

from spotisync.core.cursors import Entity
from spotisync.core.rows import AlbumRow, ArtistRow, CatalogueRows, TrackRow
from spotisync.store import catalogue
from spotisync.store.catalogue import MOST_ATTEMPTS
from tests.support.store import Store


def stubs(store: Store, count: int, entity: str = "artists") -> None:
    store.sql(
        f"""INSERT INTO {entity} (id, uri, saves)
        SELECT 'x' || lpad(n::text, 3, '0'), '', n % 7 FROM generate_series(1, :count) n""",
        count=count,
    )


@pytest.fixture
def active_runs(store: Store) -> tuple[int, int, int]:
    """Three runs of three accounts."""
    one, two, three = (store.run(account_id=store.account(name)).id for name in ("one", "two", "three"))
    return one, two, three


def claim(store: Store, sync_id: int, limit: int, entity: Entity = "artists", lease: int = 100) -> list[str]:
    with store.database.begin() as connection:
        return catalogue.claim_stubs(connection, entity, sync_id, limit, lease)


def test_looks_up_the_most_saved_first(store: Store) -> None:
    stubs(store, 20)
    most = {id_ for (id_,) in store.sql("SELECT id FROM artists ORDER BY saves DESC, id LIMIT 5")}
    assert set(claim(store, 1, 5)) == most


def test_two_runs_never_claim_the_same_stub(store: Store, active_runs: tuple[int, ...]) -> None:
    stubs(store, 300)
    claimed: dict[int, list[str]] = {sync_id: [] for sync_id in active_runs}

    def run(sync_id: int) -> None:
        while ids := claim(store, sync_id, 10):
            claimed[sync_id] += ids
            with store.database.begin() as connection:
                catalogue.mark_enriched(connection, "artists", ids, [])

    threads = [Thread(target=run, args=(sync_id,)) for sync_id in claimed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = [id_ for ids in claimed.values() for id_ in ids]
    assert len(together) == len(set(together)) == 300


def test_claims_no_more_than_requested_under_any_query_plan(store: Store) -> None:
    stubs(store, 50)
    with store.database.begin() as connection:
        # This plan would evaluate the inner query again for each row of the outer one.
        for way in ("hashjoin", "hashagg", "sort", "material"):
            connection.execute(text(f"SET LOCAL enable_{way} = off"))
        assert len(catalogue.claim_stubs(connection, "artists", 1, 3, 100)) == 3


def test_skips_a_claim_that_is_not_committed_yet(store: Store) -> None:
    stubs(store, 4)
    with store.database.begin() as one, store.database.begin() as other:
        first = catalogue.claim_stubs(one, "artists", 1, 2, 100)
        second = catalogue.claim_stubs(other, "artists", 2, 4, 100)
    assert (len(first), len(second)) == (2, 2)
    assert not set(first) & set(second)


def test_a_run_gets_its_own_claims_back_after_an_interruption(store: Store, active_runs: tuple[int, ...]) -> None:
    stubs(store, 3)
    one, two, _ = active_runs
    mine = claim(store, one, 3)
    assert claim(store, two, 3) == []
    assert sorted(claim(store, one, 3)) == sorted(mine)


def test_an_expired_claim_can_be_taken_by_another_run(store: Store, active_runs: tuple[int, ...]) -> None:
    stubs(store, 3)
    one, two, _ = active_runs
    assert len(claim(store, one, 3)) == 3
    store.sql("UPDATE artists SET lookup_until = now()")
    assert len(claim(store, two, 3)) == 3


@pytest.mark.parametrize("status", ["pending", "rate_limited", "failed", "cancelled", "success"])
def test_a_claim_of_an_inactive_run_can_be_taken_by_another_run(
    store: Store, active_runs: tuple[int, ...], status: str
) -> None:
    stubs(store, 3)
    one, two, _ = active_runs
    claim(store, one, 3)
    store.set(one, status=status)
    assert len(claim(store, two, 3)) == 3


def test_released_stubs_can_be_claimed_at_once(store: Store, active_runs: tuple[int, ...]) -> None:
    stubs(store, 5)
    one, two, three = active_runs
    claim(store, one, 2)
    kept = claim(store, three, 1)
    with store.database.begin() as connection:
        catalogue.release_stubs(connection, "artists", one)
    assert len(claim(store, two, 5)) == 4
    assert claim(store, three, 5) == kept


def test_defers_a_stub_that_is_never_answered(store: Store) -> None:
    stubs(store, 1)
    for _ in range(MOST_ATTEMPTS):
        assert claim(store, 1, 1) == ["x001"]
        with store.database.begin() as connection:
            catalogue.record_misses(connection, "artists", ["x001"])
            assert catalogue.find_missed(connection, "artists", ["x001"]) == {"x001"}
    assert claim(store, 1, 1) == []


@pytest.mark.parametrize("entity", ["artists", "albums"])
def test_a_looked_up_row_is_full_or_gone_and_no_longer_a_stub(store: Store, entity: Entity) -> None:
    stubs(store, 3, entity)
    claim(store, 1, 3, entity)
    with store.database.begin() as connection:
        assert catalogue.mark_enriched(connection, entity, ["x001"], ["x002"]) == 2
    found = store.sql(f"SELECT enrichment, enriched_at IS NULL, lookup_sync_id FROM {entity} ORDER BY id")
    assert found == [("full", False, None), ("gone", False, None), ("stub", True, 1)]
    assert claim(store, 1, 3, entity) == ["x003"]


def test_an_artist_without_genres_does_not_stay_a_stub(store: Store) -> None:
    met = CatalogueRows()
    met.add_artist(ArtistRow("a1", "Umber", "spotify:artist:a1", genres=()))
    with store.database.begin() as connection:
        catalogue.save_rows(connection, met)
        catalogue.mark_enriched(connection, "artists", ["a1"], [])
    assert claim(store, 1, 9) == []
    assert store.sql("SELECT genres, enrichment FROM artists") == [([], "full")]


def test_ranks_stubs_by_their_number_of_saved_tracks(store: Store) -> None:
    met = CatalogueRows()
    for id_ in ("a1", "a2"):
        met.add_artist(ArtistRow(id_, id_, id_))
        met.add_album(AlbumRow(f"b{id_}", id_, id_))
    for id_, artist in (("t1", "a2"), ("t2", "a2"), ("t3", "a1"), ("t4", "a1")):
        met.add_track(TrackRow(id_, id_, id_, album_id=f"b{artist}", artist_ids=(artist,)))
    with store.database.begin() as connection:
        catalogue.save_rows(connection, met)
    store.sql(
        """INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at)
        VALUES (:a, 't1', now(), NULL), (:a, 't2', now(), NULL), (:a, 't3', now(), NULL), (:a, 't4', now(), now())""",
        a=store.account_id,
    )
    other = store.account("other")
    store.sql("INSERT INTO saved_tracks (account_id, track_id, added_at) VALUES (:other, 't1', now())", other=other)
    with store.database.begin() as connection:
        catalogue.rank_stubs(connection, other)
    assert store.sql("SELECT id, saves FROM artists ORDER BY id") == [("a1", 0), ("a2", 3)]
    store.sql("DELETE FROM accounts WHERE id = :other", other=other)
    with store.database.begin() as connection:
        catalogue.rank_stubs(connection, store.account_id)
    assert store.sql("SELECT id, saves FROM artists ORDER BY id") == [("a1", 1), ("a2", 2)]
    assert store.sql("SELECT id, saves FROM albums ORDER BY id") == [("ba1", 1), ("ba2", 2)]
    store.sql("UPDATE saved_tracks SET removed_at = CASE WHEN track_id <> 't4' THEN now() END")
    with store.database.begin() as connection:
        catalogue.rank_stubs_of(connection, ["t4", "t1"])
    assert store.sql("SELECT id, saves FROM artists ORDER BY id") == [("a1", 1), ("a2", 0)]
    assert store.sql("SELECT id, saves FROM albums ORDER BY id") == [("ba1", 1), ("ba2", 0)]


def test_ranks_only_the_stubs_of_the_tracks_that_changed(store: Store) -> None:
    met = CatalogueRows()
    for id_ in ("a1", "a2", "a3"):
        met.add_artist(ArtistRow(id_, id_, id_))
        met.add_track(TrackRow(f"t{id_}", id_, id_, artist_ids=(id_,)))
    with store.database.begin() as connection:
        catalogue.save_rows(connection, met)
        catalogue.record_misses(connection, "artists", ["a1"])
        catalogue.mark_enriched(connection, "artists", ["a3"], [])
    store.sql("INSERT INTO saved_tracks SELECT :a, id, now() FROM tracks", a=store.account_id)
    with store.database.begin() as connection:
        catalogue.rank_stubs_of(connection, ["ta1", "ta3"])
    found = store.sql("SELECT id, saves, lookup_attempts FROM artists ORDER BY id")
    assert found == [("a1", 1, 1), ("a2", 0, 0), ("a3", 0, 0)]


def test_a_sighting_without_artists_keeps_the_stored_ones(store: Store) -> None:
    for artists in (("a1", "a2"), None):
        met = CatalogueRows()
        for id_ in artists or ():
            met.add_artist(ArtistRow(id_, id_, id_))
        met.add_track(TrackRow("t1", "Kettle", "u", artist_ids=artists))
        with store.database.begin() as connection:
            catalogue.save_rows(connection, met)
    assert store.sql("SELECT artist_id FROM track_artists ORDER BY position") == [("a1",), ("a2",)]
