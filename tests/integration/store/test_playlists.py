"""Contents are replaced as a whole, under the snapshot seen before the first page; refusals are per account."""

import pytest

from spotisync.core.cursors import PlaylistProgress
from spotisync.core.listing import ListVerdict
from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.rows import ListingRow, PlaylistItemRow, PlaylistRow
from spotisync.core.steps import Access
from spotisync.store import listings, playlists
from tests.support.store import Store


def playlist(id_: str, snapshot_id: str = "s1", total: int = 2) -> PlaylistRow:
    return PlaylistRow(id_, id_, None, None, None, None, False, snapshot_id, total, None)


def listed(store: Store, sync_id: int, *rows: PlaylistRow, account_id: int | None = None) -> tuple[set[str], set[str]]:
    with store.database.begin() as connection:
        changed = playlists.save_rows(connection, rows)
        found = [
            ListingRow(row.id, position=position, snapshot_known=row.snapshot_id is not None)
            for position, row in enumerate(rows)
        ]
        added = listings.save(connection, account_id or store.account_id, sync_id, "playlists", found, 1)
    return added, changed - added


def stage(store: Store, sync_id: int, id_: str, names: str) -> None:
    rows = [(id_, PlaylistItemRow(position, "local", name=name)) for position, name in enumerate(names)]
    with store.database.begin() as connection:
        playlists.stage_items(connection, sync_id, rows)


def conclude(
    store: Store, sync_id: int, id_: str, access: Access = "synced", snapshot_id: str = "s1", account_id: int = 0
) -> None:
    with store.database.begin() as connection:
        playlists.finish_contents(
            connection, account_id or store.account_id, sync_id, [(PlaylistProgress(id_, snapshot_id), access)]
        )


def contents(store: Store, id_: str) -> str:
    found = store.sql("SELECT name FROM playlist_items WHERE playlist_id = :id ORDER BY position", id=id_)
    return "".join(name for (name,) in found)


def wanted(store: Store, sync_id: int, first: str | None = None) -> list[str]:
    with store.database.begin() as connection:
        return [each.playlist_id for each in playlists.find_wanted(connection, store.account_id, sync_id, first, 50)]


def settle(store: Store, sync_id: int) -> int:
    with store.database.begin() as connection:
        return playlists.mark_unchanged(connection, store.account_id, sync_id)


@pytest.fixture
def sync_id(store: Store) -> int:
    return store.run(status="success").id


def test_contents_change_only_when_the_last_page_is_stored(store: Store, sync_id: int) -> None:
    listed(store, sync_id, playlist("p1"))
    stage(store, sync_id, "p1", "abc")
    conclude(store, sync_id, "p1")
    stage(store, sync_id, "p1", "x")
    assert contents(store, "p1") == "abc"
    stage(store, sync_id, "p1", "xy")
    conclude(store, sync_id, "p1", snapshot_id="s2")
    assert contents(store, "p1") == "xy"
    assert store.one("SELECT items_snapshot_id FROM playlists") == "s2"
    assert store.one("SELECT count(*) FROM staged_items") == 0


def test_does_not_write_an_unchanged_item(store: Store, sync_id: int) -> None:
    listed(store, sync_id, playlist("p1"))
    for names in ("abc", "abd"):
        stage(store, sync_id, "p1", names)
        conclude(store, sync_id, "p1")
    first, second, third = store.sql("SELECT xmin::text FROM playlist_items ORDER BY position")
    assert first == second != third


def test_an_emptied_playlist_becomes_empty(store: Store, sync_id: int) -> None:
    listed(store, sync_id, playlist("p1"))
    stage(store, sync_id, "p1", "abc")
    conclude(store, sync_id, "p1")
    conclude(store, sync_id, "p1", snapshot_id="s2")
    assert contents(store, "p1") == ""


@pytest.mark.parametrize("access", ["forbidden", "not_found"])
def test_a_refusal_of_one_account_keeps_the_contents_of_another(store: Store, sync_id: int, access: Access) -> None:
    other = store.account("other")
    theirs = store.run(account_id=other, status="success").id
    listed(store, sync_id, playlist("p1"))
    listed(store, theirs, playlist("p1"), account_id=other)
    stage(store, sync_id, "p1", "abc")
    conclude(store, sync_id, "p1")
    conclude(store, theirs, "p1", access, account_id=other)
    assert contents(store, "p1") == "abc"
    assert store.one("SELECT items_snapshot_id FROM playlists") == "s1"
    found = store.sql("SELECT account_id, items_status FROM account_playlists ORDER BY account_id")
    assert found == [(store.account_id, "synced"), (other, access)]


def test_a_new_snapshot_in_the_list_does_not_count_as_its_contents(store: Store, sync_id: int) -> None:
    listed(store, sync_id, playlist("p1"))
    assert settle(store, sync_id) == 0
    assert wanted(store, sync_id) == ["p1"]
    assert store.one("SELECT items_snapshot_id FROM playlists") is None


def test_contents_with_the_listed_snapshot_need_no_call(store: Store, sync_id: int) -> None:
    listed(store, sync_id, playlist("p1"))
    conclude(store, sync_id, "p1")
    later = store.run(status="success").id
    listed(store, later, playlist("p1"), playlist("p2"))
    assert settle(store, later) == 1
    assert wanted(store, later) == ["p2"]


def test_reads_contents_again_when_the_snapshot_differs(store: Store, sync_id: int) -> None:
    listed(store, sync_id, playlist("p1"))
    conclude(store, sync_id, "p1")
    later = store.run(status="success").id
    assert listed(store, later, playlist("p1", "s2")) == (set(), {"p1"})
    assert settle(store, later) == 0
    assert wanted(store, later) == ["p1"]


def test_an_unknown_snapshot_proves_nothing(store: Store, sync_id: int) -> None:
    listed(store, sync_id, playlist("p1", ""))
    conclude(store, sync_id, "p1", snapshot_id="")
    later = store.run(status="success").id
    listed(store, later, playlist("p1", ""))
    assert settle(store, later) == 0
    assert wanted(store, later) == ["p1"]


def test_a_partly_read_playlist_comes_first_and_a_finished_one_never(store: Store, sync_id: int) -> None:
    listed(store, sync_id, *(playlist(f"p{n}") for n in range(4)))
    conclude(store, sync_id, "p1")
    assert wanted(store, sync_id) == ["p0", "p2", "p3"]
    assert wanted(store, sync_id, "p3") == ["p3", "p0", "p2"]


def test_a_playlist_that_is_no_longer_listed_keeps_row_and_contents(store: Store, sync_id: int) -> None:
    listed(store, sync_id, playlist("p1"), playlist("p2"))
    stage(store, sync_id, "p1", "abc")
    conclude(store, sync_id, "p1")
    later = store.run(status="success").id
    assert listed(store, later, playlist("p2"), playlist("p2")) == (set(), set())
    with store.database.begin() as connection:
        evidence = listings.get_evidence(connection, store.account_id, later, "playlists", 1)
        assert (evidence.met, evidence.suspects) == (1, [SuspectRow("p1")])
        verdict = ListVerdict(read_again=False, proved=True, hidden=frozenset(), nulls=NullCount())
        assert listings.apply_verdict(connection, store.account_id, later, "playlists", verdict) == 1
    assert store.one("SELECT removed_at IS NOT NULL FROM account_playlists WHERE playlist_id = 'p1'")
    assert contents(store, "p1") == "abc"
    again = store.run(status="success").id
    assert listed(store, again, playlist("p1"), playlist("p2")) == ({"p1"}, set())
