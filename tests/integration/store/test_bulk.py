"""Bulk writes change only rows that differ, count them, keep known values and survive deadlocks."""

from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from spotisync.core.rows import AlbumRow, ArtistRow, CatalogueRows, TrackRow
from spotisync.errors import Unavailable
from spotisync.store import bulk, catalogue, schema
from spotisync.store.database import TRIES, Database
from tests.support.store import Store


def artist(id_: str, **values: Any) -> dict[str, Any]:
    return {"id": id_, "name": id_, "uri": f"spotify:artist:{id_}", "genres": None, "popularity": None, **values}


def upsert(store: Store, *rows: dict[str, Any], **options: Any) -> tuple[set[str], set[str]]:
    with store.database.begin() as connection:
        inserted, updated = bulk.upsert(connection, schema.artists, rows, **options)
    return {id_ for (id_,) in inserted}, {id_ for (id_,) in updated}


def versions(store: Store) -> list[Any]:
    """Return xmin, ctid and xmax of each row: a lock counts as a write too."""
    return store.sql("SELECT id, xmin::text, ctid::text, xmax::text FROM artists ORDER BY id")


def test_distinguishes_inserted_updated_and_unchanged_rows(store: Store) -> None:
    assert upsert(store, artist("a"), artist("b")) == ({"a", "b"}, set())
    assert upsert(store, artist("a"), artist("b", name="B"), artist("c")) == ({"c"}, {"b"})
    assert upsert(store) == (set(), set())


def test_does_not_write_an_unchanged_row(store: Store) -> None:
    rows = [artist("a", genres=["x", "y"], popularity=3), artist("b")]
    upsert(store, *rows)
    before = versions(store)
    assert upsert(store, *rows) == (set(), set())
    assert versions(store) == before
    upsert(store, artist("a", popularity=4), artist("b"))
    after = versions(store)
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_an_unknown_value_never_overwrites_a_known_one(store: Store) -> None:
    upsert(store, artist("a", genres=["x"], popularity=3))
    before = versions(store)
    assert upsert(store, artist("a", name=None)) == (set(), set())
    assert versions(store) == before
    assert store.sql("SELECT name, genres, popularity FROM artists") == [("a", ["x"], 3)]
    assert upsert(store, artist("a", name=None, genres=[])) == (set(), {"a"})
    assert store.one("SELECT genres FROM artists") == []


def test_null_overwrites_where_it_has_a_meaning(store: Store) -> None:
    upsert(store, artist("a", popularity=3))
    assert upsert(store, artist("a"), keep_unknown=False) == (set(), {"a"})
    assert store.one("SELECT popularity FROM artists") is None


def test_sets_additional_columns_only_on_rows_that_change(store: Store) -> None:
    upsert(store, artist("a"), artist("b"))
    upsert(store, artist("a"), artist("b", name="B"), also="saves = 7")
    assert store.sql("SELECT id, saves FROM artists ORDER BY id") == [("a", 0), ("b", 7)]


def test_stores_every_kind_of_value_and_any_character(store: Store) -> None:
    name = "\"q\" \\u0000 \\ 'x' :y %s %(z)s {} \n\t\u2028 夜 🌊 " + "x" * 10_000
    upsert(store, artist(name[:100], name=name, genres=[name, ""]))
    assert store.sql("SELECT id, name, genres FROM artists") == [(name[:100], name, [name, ""])]
    with store.database.begin() as connection:
        row = {"id": "b", "name": None, "uri": "", "released_on": datetime(1979, 1, 1, tzinfo=UTC).date()}
        bulk.upsert(connection, schema.albums, [row])
    assert store.one("SELECT released_on::text FROM albums") == "1979-01-01"


def test_inserts_a_row_that_has_only_key_columns_once(store: Store) -> None:
    run = store.run()
    rows = [{"sync_id": run.id, "track_id": id_, "added_at": datetime(2026, 1, 1, tzinfo=UTC)} for id_ in ("a", "b")]
    with store.database.begin() as connection:
        assert len(bulk.upsert(connection, schema.seen_tracks, rows)[0]) == 2
        assert bulk.upsert(connection, schema.seen_tracks, rows) == (set(), set())


def test_replaces_lists_of_children_exactly(store: Store) -> None:
    upsert(store, *(artist(id_) for id_ in "abc"))
    store.sql("INSERT INTO tracks (id, uri) VALUES ('t1', ''), ('t2', ''), ('t3', '')")

    def put(lists: dict[str, list[str]]) -> set[str]:
        with store.database.begin() as connection:
            return bulk.replace_children(connection, schema.track_artists, "track_id", "artist_id", lists)

    assert put({"t1": ["a", "b"], "t2": ["a"], "t3": []}) == {"t1", "t2"}
    before = store.sql("SELECT xmin::text, ctid::text FROM track_artists ORDER BY track_id, position")
    assert put({"t1": ["a", "b"], "t2": ["a"], "t3": []}) == set()
    assert store.sql("SELECT xmin::text, ctid::text FROM track_artists ORDER BY track_id, position") == before
    assert put({"t1": ["b"], "t2": []}) == {"t1", "t2"}
    assert store.sql("SELECT track_id, position, artist_id FROM track_artists") == [("t1", 0, "b")]
    assert put({}) == set()


# ---- transactions ---------------------------------------------------------------------------------------------------


def test_transactions_that_write_in_opposite_order_both_succeed(store: Store) -> None:
    upsert(store, artist("a"), artist("b"))
    meet, tries, done = Barrier(2, timeout=60), {"a": 0, "b": 0}, []

    def write(first: str, second: str) -> None:
        def work(connection: Connection) -> str:
            tries[first] += 1
            connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
            bulk.upsert(connection, schema.artists, [artist(first, name=f"by {first}")])
            if tries[first] == 1:
                meet.wait()
            bulk.upsert(connection, schema.artists, [artist(second, name=f"by {first}")])
            return first

        done.append(store.database.transact(work))

    threads = [Thread(target=write, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["a", "b"]
    # Postgres may end both transactions if both look for a deadlock at once.
    assert max(tries.values()) > 1, "no deadlock happened"
    assert len({name for (name,) in store.sql("SELECT name FROM artists")}) == 1


def test_writes_rows_in_key_order_to_avoid_deadlocks(store: Store) -> None:
    ids = [f"a{n:03}" for n in range(100)]
    store.sql("TRUNCATE artists CASCADE")  # otherwise the space of deleted rows is reused in any order
    for name in ("first", "second"):
        upsert(store, *(artist(id_, name=name) for id_ in reversed(ids)))
        written = store.sql("SELECT id FROM artists WHERE name = :name ORDER BY ctid", name=name)
        assert [id_ for (id_,) in written] == ids


def met(names: str, ids: list[str]) -> CatalogueRows:
    found = CatalogueRows()
    for id_ in ids:
        found.add_artist(ArtistRow(f"a{id_}", names, "u"))
        found.add_album(AlbumRow(f"b{id_}", names, "u", artist_ids=(f"a{id_}",)))
        found.add_track(TrackRow(f"t{id_}", names, "u", album_id=f"b{id_}", artist_ids=(f"a{id_}", "a01")))
    return found


@pytest.mark.parametrize("look_up", [False, True], ids=["pages", "look-ups"])
def test_workers_that_write_one_catalogue_in_opposite_order_succeed(
    database_url: str, store: Store, look_up: bool
) -> None:
    """Transactions wait for each other or are retried, so no error is raised."""
    hasty = Database(f"{database_url}&options=-c%20deadlock_timeout%3D20")
    ids, rounds, meet = [f"{n:02}" for n in range(40)], 12, Barrier(2, timeout=60)
    tries: list[str] = []
    errors: list[Exception] = []

    def write(who: str, order: list[str]) -> None:
        for number in range(rounds):

            def work(connection: Connection, names: str = f"{who} {number}") -> None:
                tries.append(names)
                catalogue.save_rows(connection, met(names, order))
                if look_up:
                    catalogue.mark_enriched(connection, "artists", [f"a{id_}" for id_ in order], [])
                    catalogue.save_rows(connection, met(f"{names} again", order))

            meet.wait()
            try:
                hasty.transact(work)
            except Exception as error:  # noqa: BLE001 (reported below)
                errors.append(error)

    threads = [Thread(target=write, args=pair) for pair in (("one", ids), ("two", ids[::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hasty.close()
    assert errors == []
    assert look_up or len(tries) == 2 * rounds
    assert store.one("SELECT count(DISTINCT name) FROM artists") == 1


def test_retries_a_serialization_failure_a_limited_number_of_times(store: Store) -> None:
    tries = []

    def work(connection: Connection) -> None:
        tries.append(1)
        connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(Exception, match="x"):
        store.database.transact(work)
    assert len(tries) == TRIES


def test_raises_any_other_error_at_once_and_rolls_back(store: Store) -> None:
    tries = []

    def work(connection: Connection) -> None:
        tries.append(1)
        bulk.upsert(connection, schema.artists, [artist("a")])
        connection.execute(text("INSERT INTO artists (id, uri) VALUES ('a', '')"))

    with pytest.raises(IntegrityError):
        store.database.transact(work)
    assert (len(tries), store.one("SELECT count(*) FROM artists")) == (1, 0)


def test_an_unreachable_server_raises_unavailable() -> None:
    away = Database("postgresql+psycopg://u@127.0.0.1:9/x")
    with pytest.raises(Unavailable, match="the database can't be reached"), away.begin():
        pass
    with pytest.raises(Unavailable):
        away.get_claimant()
    away.close()


def test_a_terminated_session_raises_unavailable_and_the_next_works(store: Store) -> None:
    with pytest.raises(Unavailable), store.database.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert store.one("SELECT 1") == 1
