"""The call ledger: each call is counted once even if a batch is late or lost; processes share the budget."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from uuid import uuid4

import pytest

from spotisync.core.regimes import Regime
from spotisync.errors import Unavailable
from spotisync.store import apps, call_ledger, reply_shapes
from spotisync.store.database import Connection, Database
from spotisync.sync.calls import CallRecorder
from tests.support.store import CLIENT, GONE, LEASE, Store


class FailingDatabase(Database):
    """A database that can be unreachable."""

    away = False

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        if self.away:
            raise Unavailable("away")
        with super().begin() as connection:
            yield connection


@pytest.fixture
def failing(database_url: str) -> Iterator[FailingDatabase]:
    made = FailingDatabase(database_url)
    yield made
    made.close()


def used(store: Store, family: str = "artists") -> int:
    with store.database.begin() as connection:
        return call_ledger.count_last_day(connection, CLIENT, family)


def add(store: Store, calls: int, account_id: int = 1) -> None:
    with store.database.begin() as connection:
        call_ledger.record_calls(connection, CLIENT, account_id, {"artists": calls, "library": 1})


def test_counts_a_day_by_family_over_all_accounts(store: Store) -> None:
    for account_id, calls in ((1, 3), (2, 4), (1, 5)):
        add(store, calls, account_id)
    assert (used(store), used(store, "library"), used(store, "albums")) == (12, 3, 0)
    store.sql("UPDATE call_ledger SET minute = minute - interval '23 hours 59 minutes'")
    assert used(store) == 12
    store.sql("UPDATE call_ledger SET minute = minute - interval '3 minutes'")
    assert used(store) == 0


def test_takes_back_calls_that_were_recorded_but_not_sent(store: Store) -> None:
    for calls in (50, -47):
        add(store, calls)
    assert used(store) == 3


def test_deletes_old_minutes(store: Store) -> None:
    add(store, 1)
    store.sql("UPDATE call_ledger SET minute = minute - interval '3 days 1 minute' WHERE family = 'library'")
    with store.database.begin() as connection:
        assert call_ledger.trim(connection, 10) == 1
    assert store.one("SELECT count(*) FROM call_ledger") == 1


def test_merges_the_accounts_of_minutes_that_are_over(store: Store) -> None:
    for account_id, calls in ((1, 3), (2, 4), (0, 5), (3, -2)):
        add(store, calls, account_id)
    store.sql("UPDATE call_ledger SET minute = minute - interval '10 minutes'")
    add(store, 7)
    with store.database.begin() as connection:
        assert call_ledger.compact(connection, 4) == 4, "in pieces"
        assert call_ledger.compact(connection) == 2
        assert call_ledger.compact(connection) == 0
    assert (used(store), used(store, "library")) == (17, 5)
    rows = store.sql("SELECT account_id, calls FROM call_ledger WHERE family = 'artists' ORDER BY 1")
    assert [tuple(row) for row in rows] == [(0, 10), (1, 7)]


def test_concurrent_merges_lose_no_call(store: Store) -> None:
    for account_id in range(1, 301):
        add(store, 1, account_id)
    store.sql("UPDATE call_ledger SET minute = minute - make_interval(mins => 5 + CAST(account_id % 7 AS int))")

    def merge() -> None:
        done = 1
        while done:
            done = store.database.transact(lambda connection: call_ledger.compact(connection, 40))

    threads = [Thread(target=merge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (used(store), store.one("SELECT count(*) FROM call_ledger")) == (300, 14)


def test_calls_that_could_not_be_written_go_with_a_later_batch(failing: FailingDatabase, store: Store) -> None:
    book, run = CallRecorder(failing, CLIENT, CLIENT), store.run()
    lost = book.open(run.id, store.account_id)
    lost.count("artists")
    failing.away = True
    book.close(lost)
    assert used(store) == 0
    failing.away = False
    lost.count("artists")  # a request that ended after its batch
    later = book.open(None, store.account_id)
    later.count("artists")
    book.close(later)
    book.close(later)
    assert (used(store), store.column(run, "api_calls")) == (3, 2)


def test_counts_calls_of_a_deleted_run(store: Store) -> None:
    book, run = CallRecorder(store.database, CLIENT, CLIENT), store.run()
    calls = book.open(run.id, store.account_id)
    calls.count("library")
    store.sql("DELETE FROM accounts")
    book.close(calls)
    assert used(store, "library") == 1


def test_one_transaction_at_a_time_takes_the_remaining_budget(store: Store) -> None:
    with store.database.begin() as connection:
        apps.record_regime(connection, CLIENT, "restricted")
    taken: list[int] = []

    def take() -> None:
        for _ in range(5):
            with store.database.begin() as connection:
                room = min(3, apps.lock_lookup_budget(connection, CLIENT, "artists", 20))
                call_ledger.record_calls(connection, CLIENT, 1, {"artists": room})
                taken.append(room)

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == used(store) == 20


# ---- regimes --------------------------------------------------------------------------------------------------------


def learn(store: Store, regime: Regime) -> bool:
    with store.database.begin() as connection:
        return apps.record_regime(connection, CLIENT, regime)


def test_a_regime_changes_only_after_two_replies_in_a_row(store: Store) -> None:
    shown: list[Regime] = ["full", "full", "restricted", "full", "restricted", "restricted", "restricted"]
    assert [learn(store, each) for each in shown] == [True, False, False, False, False, True, False]


def test_refused_look_ups_outweigh_a_list_for_a_day(store: Store) -> None:
    learn(store, "restricted")
    with store.database.begin() as connection:
        reply_shapes.record_statuses(connection, CLIENT, {("artists", 403): 1})
    assert [learn(store, "full") for _ in range(4)] == [False] * 4
    store.sql("UPDATE reply_statuses SET last_at = last_at - interval '24 hours 1 minute'")
    assert [learn(store, "full") for _ in range(2)] == [False, True]


def test_an_answered_look_up_ends_the_weight_of_an_earlier_refusal(store: Store) -> None:
    learn(store, "full")
    for status in (403, 200):
        with store.database.begin() as connection:
            reply_shapes.record_statuses(connection, CLIENT, {("albums", status): 1})
    assert [learn(store, each) for each in ("restricted", "full", "restricted")] == [False] * 3


def test_looks_partial_rows_up_again_once_the_regime_is_full(store: Store) -> None:
    store.sql("INSERT INTO artists (id, uri, enrichment) VALUES ('a1', '', 'partial'), ('a2', '', 'full')")
    learn(store, "restricted")
    assert store.one("SELECT enrichment FROM artists WHERE id = 'a1'") == "partial"
    for _ in range(2):
        learn(store, "full")
    assert dict(store.sql("SELECT id, enrichment FROM artists")) == {"a1": "stub", "a2": "full"}


def test_reads_contents_without_popularities_again(store: Store) -> None:
    store.sql(
        """INSERT INTO playlists (id, collaborative, snapshot_id, items_snapshot_id)
        VALUES ('p1', false, 's', 's'), ('p2', false, 's', 's')"""
    )
    store.sql("INSERT INTO tracks (id, uri, popularity) VALUES ('t1', '', 5), ('t2', '', NULL)")
    store.sql(
        """INSERT INTO playlist_items (playlist_id, position, kind, track_id)
        VALUES ('p1', 0, 'track', 't1'), ('p2', 0, 'track', 't1'), ('p2', 1, 'track', 't2')"""
    )
    learn(store, "full")
    assert dict(store.sql("SELECT id, items_snapshot_id FROM playlists")) == {"p1": "s", "p2": None}


# ---- claims of the backlog ------------------------------------------------------------------------------------------


def test_one_process_at_a_time_drains_the_backlog(store: Store) -> None:
    one, two = uuid4(), uuid4()
    here = store.database.get_claimant()
    with store.database.begin() as connection:
        assert apps.claim_backlog(connection, CLIENT, one, here, LEASE)
        assert not apps.claim_backlog(connection, CLIENT, two, here, LEASE)
        assert apps.renew_backlog_claim(connection, CLIENT, one, LEASE)
        apps.release_backlog(connection, CLIENT, one, 0)
        assert apps.claim_backlog(connection, CLIENT, two, GONE, LEASE)
        assert not apps.renew_backlog_claim(connection, CLIENT, one, LEASE)
    with store.database.begin() as connection:
        assert apps.claim_backlog(connection, CLIENT, one, here, LEASE), "its process has ended"
        apps.release_backlog(connection, CLIENT, one, 900)
    with store.database.begin() as connection:
        assert not apps.claim_backlog(connection, CLIENT, two, here, LEASE), "the backlog pauses"
