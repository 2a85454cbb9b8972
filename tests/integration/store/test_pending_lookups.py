"""A run looks up the stubs of its own account: those that its saved tracks, albums, artists and playlists lead to."""

from threading import Thread

import pytest

from spotisync.core.cursors import Entity
from spotisync.store import catalogue, pending_lookups, runs
from spotisync.store.pending_lookups import OwnStubs
from spotisync.store.runs import Run
from tests.support.store import Store

# Each artist and album is named after the only way in which the account has it.
OWN_ALBUMS = {"saved", "of-saved-track", "of-item", "of-play"}
OWN_ARTISTS = {"followed", "of-saved-track", "of-item", "of-play", "of-album-of-saved-track", "of-saved-album"}
TRACKS = {"of-saved-track", "of-item", "of-play", "of-removed-track", "of-gone-playlist", "of-old-play", "of-other"}


@pytest.fixture(params=["by stub", "by account"])
def run(store: Store, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Run:
    """A run of an account whose lists lead to these stubs, beside another account."""
    monkeypatch.setattr(pending_lookups, "FEW", 100 if request.param == "by stub" else 1)
    run, other = store.run(), store.account("other")
    for entity, names in (
        ("artists", OWN_ARTISTS | TRACKS | {"unfollowed", "of-other-album"}),
        ("albums", OWN_ALBUMS | TRACKS | {"removed", "saved-by-other"}),
    ):
        store.sql(f"INSERT INTO {entity} (id, uri) SELECT unnest(CAST(:names AS text[])), ''", names=sorted(names))
    for name in TRACKS:
        store.sql("INSERT INTO tracks (id, uri, album_id) VALUES (:name, '', :name)", name=name)
        store.sql("INSERT INTO track_artists VALUES (:name, 0, :name)", name=name)
    for album, artist in (
        ("of-saved-track", "of-album-of-saved-track"),
        ("saved", "of-saved-album"),
        ("saved-by-other", "of-other-album"),
    ):
        store.sql("INSERT INTO album_artists VALUES (:album, 0, :artist)", album=album, artist=artist)
    me = run.account_id
    for account, track, removed in (
        (me, "of-saved-track", "NULL"),
        (me, "of-removed-track", "now()"),
        (other, "of-other", "NULL"),
    ):
        store.sql(f"INSERT INTO saved_tracks VALUES (:account, :track, now(), {removed})", account=account, track=track)
    for account, album, removed in (
        (me, "saved", "NULL"),
        (me, "removed", "now()"),
        (other, "saved-by-other", "NULL"),
    ):
        store.sql(f"INSERT INTO saved_albums VALUES (:account, :album, now(), {removed})", account=account, album=album)
    store.sql("INSERT INTO followed_artists VALUES (:me, 'followed', NULL), (:me, 'unfollowed', now())", me=me)
    store.sql("INSERT INTO playlists (id, collaborative, snapshot_id) VALUES ('p', false, ''), ('gone', false, '')")
    store.sql(
        """INSERT INTO account_playlists (account_id, playlist_id, position, removed_at)
        VALUES (:me, 'p', 0, NULL), (:me, 'gone', 1, now())""",
        me=me,
    )
    store.sql(
        """INSERT INTO playlist_items (playlist_id, position, kind, track_id) VALUES
        ('p', 0, 'track', 'of-item'), ('p', 1, 'local', NULL), ('gone', 0, 'track', 'of-gone-playlist')"""
    )
    for track, days in (("of-play", 1), ("of-old-play", 30)):
        store.sql(
            """INSERT INTO play_history (account_id, played_at, track_id, source)
            VALUES (:me, now() - make_interval(days => :days), :track, 'recent')""",
            me=me,
            track=track,
            days=days,
        )
    return run


def collect(store: Store, run: Run, entity: Entity) -> OwnStubs:
    with store.database.begin() as connection:
        return pending_lookups.collect(connection, run.id, run.account_id, entity)


def claim(store: Store, run: Run, entity: Entity = "artists", limit: int = 100) -> set[str]:
    with store.database.begin() as connection:
        return set(pending_lookups.claim(connection, entity, run.id, limit, 100))


def look_up(store: Store, ids: set[str], entity: Entity = "artists") -> None:
    with store.database.begin() as connection:
        catalogue.mark_enriched(connection, entity, ids, [])


def has_any(store: Store, run: Run, entity: Entity = "artists") -> bool:
    with store.database.begin() as connection:
        return pending_lookups.has_any(connection, run.id, entity)


def test_lists_what_the_account_has_and_nothing_else(store: Store, run: Run) -> None:
    for entity, own in (("artists", OWN_ARTISTS), ("albums", OWN_ALBUMS)):
        assert collect(store, run, entity) == OwnStubs(len(own), len(own))  # type: ignore[arg-type]
        assert claim(store, run, entity) == own  # type: ignore[arg-type]


def test_drops_what_is_looked_up_and_finds_what_is_new(store: Store, run: Run) -> None:
    assert not has_any(store, run)
    collect(store, run, "artists")
    look_up(store, OWN_ARTISTS - {"followed"})
    assert has_any(store, run)
    assert claim(store, run) == {"followed"}
    look_up(store, {"followed"})
    assert not has_any(store, run)
    assert store.one("SELECT count(*) FROM pending_lookups") == 0
    store.sql("INSERT INTO artists (id, uri) VALUES ('new', '')")
    store.sql("INSERT INTO followed_artists VALUES (:me, 'new', NULL)", me=run.account_id)
    assert collect(store, run, "artists") == OwnStubs(1, 1)
    assert claim(store, run) == {"new"}


def test_counts_a_stub_without_an_answer_until_it_is_retried(store: Store, run: Run) -> None:
    with store.database.begin() as connection:
        catalogue.record_misses(connection, "artists", ["followed", "of-other"], catalogue.MOST_ATTEMPTS)
    assert collect(store, run, "artists") == OwnStubs(len(OWN_ARTISTS), len(OWN_ARTISTS) - 1)
    assert claim(store, run) == OWN_ARTISTS - {"followed"}
    look_up(store, OWN_ARTISTS - {"followed"})
    with store.database.begin() as connection:
        assert pending_lookups.count_stubs(connection, run.account_id, "artists") == 1
        pending_lookups.retry_misses(connection, run.account_id, "artists")
    assert collect(store, run, "artists") == OwnStubs(1, 1)
    assert claim(store, run) == {"followed"}
    attempts = store.sql("SELECT id FROM artists WHERE lookup_attempts > 0")
    assert attempts == [("of-other",)], "another account's stub is retried by that account"


def test_the_end_of_a_run_deletes_its_list(store: Store, run: Run) -> None:
    collect(store, run, "artists")
    store.set(run.id, phase="finish")
    with store.database.begin() as connection:
        assert runs.end(connection, run.id, "success")
    assert store.one("SELECT count(*) FROM pending_lookups") == 0


# ---- several runs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two_runs(store: Store) -> tuple[Run, Run]:
    """Two accounts that follow the same 300 artists."""
    found = store.run(), store.run(account_id=store.account("other"))
    store.sql("INSERT INTO artists (id, uri, saves) SELECT 'x' || n, '', n % 7 FROM generate_series(1, 300) n")
    for run in found:
        store.sql("INSERT INTO followed_artists SELECT :id, id FROM artists", id=run.account_id)
        collect(store, run, "artists")
    return found


def test_two_runs_share_the_stubs_of_both(store: Store, two_runs: tuple[Run, Run]) -> None:
    claimed: dict[int, list[str]] = {run.id: [] for run in two_runs}

    def work(run: Run) -> None:
        while ids := claim(store, run, limit=10):
            claimed[run.id] += ids
            look_up(store, ids)

    threads = [Thread(target=work, args=(run,)) for run in two_runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = [id_ for ids in claimed.values() for id_ in ids]
    assert len(together) == len(set(together)) == 300
    assert not any(has_any(store, run) for run in two_runs)


def test_stubs_claimed_by_another_run_stay_pending(store: Store, two_runs: tuple[Run, Run]) -> None:
    one, two = two_runs
    theirs = claim(store, two, limit=299)
    assert len(claim(store, one)) == 1
    assert claim(store, one) == {f"x{n}" for n in range(1, 301)} - theirs, "its own claim"
    store.set(two.id, status="failed")
    assert len(claim(store, one, limit=300)) == 300


def test_skips_long_parts_that_others_have_looked_up(
    store: Store, two_runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_lookups, "WINDOW", 7)
    one, two = two_runs
    look_up(store, claim(store, two, limit=290))
    assert len(claim(store, one, limit=3)) == 3
    assert store.one("SELECT count(*) FROM pending_lookups WHERE sync_id = :id", id=one.id) < 30
    assert has_any(store, one)


def test_looks_up_the_most_saved_first(store: Store, two_runs: tuple[Run, Run]) -> None:
    assert {id_ for (id_,) in store.sql("SELECT id FROM artists WHERE saves = 6")} >= claim(store, two_runs[0], limit=5)
