"""Saved tracks and the walk over them: duplicates, removals, and returning rows."""

from datetime import UTC, datetime

import pytest

from spotisync.core.bisection import Expected, ListRow
from spotisync.core.incremental import PlacedRow, truncate_to_minute
from spotisync.core.parse import EPOCH
from spotisync.core.rows import SavedTrackRow
from spotisync.store import saved_tracks
from tests.support.expected import around_pages
from tests.support.store import Store


def saved(id_: str, day: int = 1) -> SavedTrackRow:
    return SavedTrackRow(id_, datetime(2026, 1, day, tzinfo=UTC))


@pytest.fixture(autouse=True)
def _tracks(store: Store) -> None:
    store.sql("INSERT INTO tracks (id, uri) SELECT x, '' FROM unnest(ARRAY['a', 'b', 'c', 'd']) x")


def save(store: Store, *rows: SavedTrackRow) -> tuple[set[str], set[str]]:
    with store.database.begin() as connection:
        return saved_tracks.save_tracks(connection, store.account_id, rows)


def walk(store: Store, sync_id: int, *rows: SavedTrackRow) -> set[str]:
    """Store one page; return the ids met for the first time."""
    with store.database.begin() as connection:
        new, to_write = saved_tracks.mark_seen(connection, sync_id, store.account_id, rows)
        saved_tracks.save_tracks(connection, store.account_id, to_write)
    return new


def prove(store: Store, sync_id: int) -> int:
    with store.database.begin() as connection:
        return saved_tracks.end_walk(connection, store.account_id, sync_id, 0, set(), {})


def live(store: Store) -> dict[str, int]:
    return {
        id_: at.day for id_, at in store.sql("SELECT track_id, added_at FROM saved_tracks WHERE removed_at IS NULL")
    }


def test_distinguishes_added_and_changed_saved_tracks(store: Store) -> None:
    assert save(store, saved("a"), saved("b")) == ({"a", "b"}, set())
    assert save(store, saved("a"), saved("b", 2), saved("c")) == ({"c"}, {"b"})
    assert save(store) == (set(), set())


def test_a_removed_track_that_is_saved_again_counts_as_added(store: Store) -> None:
    save(store, saved("a"))
    store.sql("UPDATE saved_tracks SET removed_at = now()")
    assert save(store, saved("a")) == ({"a"}, set())
    assert live(store) == {"a": 1}


def test_a_proven_walk_marks_unseen_rows_removed_and_keeps_them(store: Store) -> None:
    save(store, saved("a"), saved("b"))
    run = store.run()
    walk(store, run.id, saved("a"), saved("c"))
    assert prove(store, run.id) == 1
    assert live(store) == {"a": 1, "c": 1}
    assert store.one("SELECT removed_at IS NOT NULL FROM saved_tracks WHERE track_id = 'b'")
    assert store.one("SELECT count(*) FROM seen_tracks") == 0


def test_a_walk_does_not_remove_rows_written_since_it_began(store: Store) -> None:
    run = store.run()
    save(store, saved("b"))
    walk(store, run.id, saved("a"))
    assert prove(store, run.id) == 0
    assert live(store) == {"a": 1, "b": 1}


def test_a_row_met_twice_is_counted_once(store: Store) -> None:
    run = store.run()
    assert walk(store, run.id, saved("a"), saved("b")) == {"a", "b"}
    assert walk(store, run.id, saved("b"), saved("c")) == {"c"}


@pytest.mark.parametrize("days", [(5, 2), (2, 5)])
def test_the_newest_of_two_rows_on_different_pages_counts(store: Store, days: tuple[int, int]) -> None:
    run = store.run()
    for day in days:
        walk(store, run.id, saved("a", day))
    assert live(store) == {"a": 5}


def test_the_first_sighting_in_a_walk_may_set_an_earlier_date(store: Store) -> None:
    save(store, saved("a", 5))
    run = store.run()
    walk(store, run.id, saved("a", 2))
    assert live(store) == {"a": 2}


def test_an_account_does_not_see_the_tracks_of_another(store: Store) -> None:
    save(store, saved("a"))
    other = store.account("other")
    run = store.run(account_id=other)
    with store.database.begin() as connection:
        saved_tracks.mark_seen(connection, run.id, other, [saved("b")])
        saved_tracks.save_tracks(connection, other, [saved("b")])
        assert saved_tracks.end_walk(connection, other, run.id, 1, set(), {}) == 0
    assert live(store) == {"a": 1, "b": 1}


def test_a_row_without_a_date_keeps_the_stored_date(store: Store) -> None:
    store.sql("INSERT INTO tracks (id, uri) VALUES ('t1', 'u')")
    known = datetime(2017, 7, 2, tzinfo=UTC)
    with store.database.begin() as connection:
        saved_tracks.save_tracks(connection, store.account_id, [SavedTrackRow("t1", known)])
        assert saved_tracks.save_tracks(connection, store.account_id, [SavedTrackRow("t1", EPOCH)]) == (set(), set())
    assert store.one("SELECT added_at FROM saved_tracks") == known


def test_finds_the_stored_tracks_that_are_not_hidden(store: Store) -> None:
    save(store, saved("a"), saved("b"), saved("c"))
    store.sql("UPDATE saved_tracks SET removed_at = CASE track_id WHEN 'b' THEN now() END")
    store.sql("UPDATE saved_tracks SET hidden_since = now() WHERE track_id = 'c'")
    with store.database.begin() as connection:
        assert saved_tracks.find_stored(connection, store.account_id, ["a", "b", "c", "d"]) == {"a"}


def test_loads_rows_around_the_pages_read_and_counts_the_others(store: Store) -> None:
    store.sql("INSERT INTO tracks (id, uri) SELECT 't' || n, '' FROM generate_series(0, 399) n")
    # Four rows a minute; some hidden, some removed.
    store.sql(
        f"""INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at, hidden_since)
        SELECT {store.account_id}, 't' || n, '2026-01-01Z'::timestamptz - n * interval '15 seconds',
            CASE WHEN n % 7 = 0 THEN now() END, CASE WHEN n % 50 = 3 THEN now() END FROM generate_series(0, 399) n"""
    )
    store.sql(f"INSERT INTO excess_rows VALUES ({store.account_id}, '2025-12-31T23:30Z', 2)")
    stored = [
        ListRow(truncate_to_minute(at), id_)
        for id_, at in store.sql(
            "SELECT track_id, added_at FROM saved_tracks WHERE removed_at IS NULL AND hidden_since IS NULL"
        )
    ]
    excess = [ListRow(datetime(2025, 12, 31, 23, 30, tzinfo=UTC), None)] * 2
    listed = Expected(stored + excess).entries
    run, total = store.run(), len(listed)
    for places in ((0, 50), (120, 150), (130, 170), (total - 20, total)):
        rows = [PlacedRow(place, listed[place].track_id, listed[place].minute) for place in range(*places)]
        with store.database.begin() as connection:
            saved_tracks.save_read_rows(connection, run.id, store.account_id, rows)
            library = saved_tracks.load_library(connection, store.account_id, run.id, total)
        wanted = around_pages(stored + excess, library.read, total)
        assert set(library.expected.entries) == set(wanted.entries)
        assert len(library.expected) == total
        for row in library.read.values():
            assert library.expected.count_newer_than(row.minute) == wanted.count_newer_than(row.minute)
            assert library.expected.count_not_older_than(row.minute) == wanted.count_not_older_than(row.minute)
    assert len(library.hidden) == store.one(
        "SELECT count(*) FROM saved_tracks WHERE removed_at IS NULL AND hidden_since IS NOT NULL"
    )
