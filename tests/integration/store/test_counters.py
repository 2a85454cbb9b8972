"""Counters equal the tables, count once, never decrease, and do not make transactions wait for each other."""

from collections import Counter
from contextlib import suppress
from threading import Barrier, Thread

import pytest
from sqlalchemy import event, text

from spotisync.core.requests import Request
from spotisync.errors import Refused, SpotisyncError, Transient
from spotisync.simulator import Server
from spotisync.spotify.http import Throttled, Unauthorised
from spotisync.store import counters, events, migrate, runs
from spotisync.store.budgets import Developer
from spotisync.store.database import Database
from spotisync.store.events import Event
from spotisync.sync import Context
from spotisync.web.ops import metrics
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import GONE, Store


@pytest.fixture(autouse=True)
def _reset_counters(database_url: str, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DELETE FROM tallies"))


def total(database: Database, name: str) -> dict[tuple[str, ...], float]:
    with database.begin() as connection:
        return {labels: value for (each, labels), value in counters.read_totals(connection).items() if each == name}


def exposed(database: Database) -> dict[tuple[str, ...], float]:
    """Return the name and label values of each sample that is not zero."""
    with database.begin() as connection:
        reading = metrics.read(connection, Developer("simulated", "simulated", {"library": 300}), {"spotisync.sync": 3})
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in reading.collect()
        for sample in metric.samples
        if sample.value
    }


def test_after_a_run_the_metrics_equal_the_tables(context: Context, account: Account, simulator: Server) -> None:
    simulator.control.add_fault(status=502, path="/v1/me/tracks")
    simulator.control.add_fault(status=429, path="/v1/me/playlists", retry_after=1)
    driver.full_sync(context, account)
    driver.incremental_sync(context, account)
    found = exposed(context.database)
    assert found["spotisync_runs_total", "full", "success"] == 1
    assert found["spotisync_runs_total", "incremental", "success"] == 1
    assert found["spotisync_runs_started_total", "full", "cli"] == 1
    with context.database.begin() as connection:
        for row in connection.execute(
            text(
                """SELECT entity_type, sum(batches) AS batches, sum(items_processed) AS processed,
                sum(items_added) AS added, sum(items_updated) AS updated, sum(items_removed) AS removed
                FROM sync_state GROUP BY 1"""
            )
        ):
            assert found["spotisync_batches_total", row.entity_type] == row.batches
            assert found["spotisync_batch_seconds_count", row.entity_type] == row.batches
            for change in ("processed", "added", "updated", "removed"):
                expected = getattr(row, change)
                assert found.get(("spotisync_items_total", row.entity_type, change), 0) == expected
        spent = connection.execute(text("SELECT family, sum(calls) AS calls FROM call_ledger GROUP BY 1"))
        ledger: dict[str, int] = {row.family: row.calls for row in spent}
        calls = connection.execute(text("SELECT sum(api_calls) FROM sync_history")).scalar_one()
    by_family = Counter[str]()
    for (name, *labels), value in found.items():
        if name == "spotisync_api_calls_total":
            by_family[labels[0]] += int(value)
    assert found["spotisync_api_calls_total", "library", "5xx"] == 1
    assert found["spotisync_api_calls_total", "playlists", "429"] == 1
    assert by_family == ledger
    for family, number in ledger.items():
        assert found["spotisync_request_seconds_count", family] == number
        assert found["spotisync_request_seconds_bucket", family, "+Inf"] == number
        assert 0 < found["spotisync_request_seconds_sum", family] < 60
    assert by_family.total() == calls == len([r for r in simulator.control.requests() if _counts(r)])
    assert found["spotisync_accounts", "active"] == 1
    assert found["spotisync_queue_messages", "spotisync.sync"] == 3
    assert any(name == "spotisync_last_success_timestamp_seconds" for name, *_ in found)


def _counts(request: dict[str, object]) -> bool:
    path = str(request["path"]).rstrip("/")
    return path.startswith("/v1/") and path != "/v1/me"


def test_counts_the_outcome_of_each_request(context: Context, account: Account) -> None:
    calls = context.default_app.recorder.open(None, 0)
    errors: tuple[Exception | None, ...] = (
        None,
        Throttled("3", quota=False),
        Unauthorised("401"),
        Refused(404, "not there"),
        Transient("bad gateway", 502),
        Transient("no answer"),
        KeyError("a bug"),
    )
    for error in errors:
        with suppress(SpotisyncError, KeyError), calls.track_request(Request("saved_tracks")):
            if error:
                raise error
    for _ in range(2):  # written counts are not written twice
        context.default_app.recorder.close(calls)
    became = {"2xx": 1, "429": 1, "4xx": 2, "5xx": 1, "error": 2}
    assert total(context.database, "api_calls") == {("library", each): n for each, n in became.items()}
    assert sum(total(context.database, "request_seconds_bucket").values()) == 7
    assert calls.sent == 7


def test_writes_all_counters_of_a_batch_in_one_statement(context: Context, account: Account) -> None:
    calls = context.default_app.recorder.open(None, 0)
    for kind in ("saved_tracks", "playlists", "saved_albums"):
        with calls.track_request(Request(kind)):
            pass
    statements = list[str]()
    with context.database.begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda *values: statements.append(values[2]))
        context.default_app.recorder.write(connection, calls, calls.get_unwritten())
    assert len([each for each in statements if "tallies" in each]) == 1
    assert len(total(context.database, "request_seconds_bucket")) > 1


def test_counts_a_batch_of_a_dead_worker_once(store: Store) -> None:
    run = store.run()
    assert store.claim(run, GONE)
    assert total(store.database, "lost_batches") == {}
    assert store.take_due_runs() == [run.id]  # a sweep takes the claim of a dead worker
    assert store.claim(run)
    assert total(store.database, "lost_batches") == {("tracks",): 1}
    store.set(run.id, wake_at="now() - interval '1 second'")
    token = store.claim(store.get_run(run.id))  # a slow worker, and a redelivered message
    assert total(store.database, "lost_batches") == {("tracks",): 2}
    assert token
    assert store.advance(run, token)
    token = store.claim(store.get_run(run.id))
    with store.database.begin() as connection:
        assert token
        runs.release(connection, store.get_run(run.id), token, 0, error="502")
    token = store.claim(store.get_run(run.id))
    with store.database.begin() as connection:
        runs.end(connection, run.id, "cancelled")
    assert total(store.database, "lost_batches") == {("tracks",): 2}
    assert total(store.database, "retries") == {("tracks",): 1}
    assert total(store.database, "runs") == {("full", "cancelled"): 1}


def test_counts_waits_by_family_and_reason(store: Store) -> None:
    run = store.run()

    def add(kind: str, family: str | None, seconds: float | None) -> None:
        store.sql(
            "INSERT INTO run_events (sync_id, kind, family, seconds) VALUES (:id, :kind, :family, :seconds)",
            id=run.id, kind=kind, family=family, seconds=seconds,
        )  # fmt: skip

    add("wait", "library", 2.5)
    store.block("library")
    add("wait", "library", 30)
    add("parked", "library", 600)
    add("wait", None, 1)  # for other runs, without a message
    add("batch", "library", 3)
    assert total(store.database, "waits") == {("library", "pace"): 1, ("library", "rate"): 2}
    assert total(store.database, "wait_seconds") == {("library", "pace"): 2.5, ("library", "rate"): 630}


def test_rollback_trimming_and_folding_change_no_total(store: Store) -> None:
    run = store.run()
    with store.database.begin() as connection:
        runs.end(connection, run.id, "failed", error="x")
    with suppress(LookupError), store.database.begin() as connection:
        counters.increment(connection, {("runs", ("full", "failed")): 5})
        raise LookupError
    before = total(store.database, "runs")
    store.sql("DELETE FROM sync_history")
    with store.database.begin() as connection:
        for _ in range(20):
            counters.increment(connection, {("batches", ("tracks",)): 1, ("batches", ("albums",)): 2})
        assert not counters.compact(connection)
        assert counters.compact(connection, max_rows=10)
    assert total(store.database, "runs") == before == {("full", "failed"): 1}
    assert total(store.database, "batches") == {("tracks",): 20, ("albums",): 40}
    assert store.one("SELECT count(*) FROM tallies") == 4  # runs, runs_started, and these two


def test_a_total_does_not_depend_on_the_order_of_its_rows(database: Database) -> None:
    """0.1 + 0.2 + 0.3 is more than 0.3 + 0.2 + 0.1 for a computer."""
    for phase, seconds in (("tracks", (0.1, 0.2, 0.3)), ("albums", (0.3, 0.2, 0.1))):
        for each in seconds:
            with database.begin() as connection:
                counters.increment(connection, {("wait_seconds", (phase,)): each})
    assert total(database, "wait_seconds") == {("tracks",): 0.6, ("albums",): 0.6}


def test_concurrent_counting_and_folding_loses_nothing(database: Database) -> None:
    begin, seen = Barrier(4), list[float]()

    def count() -> None:
        begin.wait()
        for _ in range(50):
            with database.begin() as connection:
                counters.increment(connection, {("batches", ("tracks",)): 1})

    def fold() -> None:
        begin.wait()
        for _ in range(25):
            with database.begin() as connection:
                counters.compact(connection, max_rows=5)
            seen.append(total(database, "batches").get(("tracks",), 0))

    threads = [Thread(target=target) for target in (count, count, fold, fold)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert total(database, "batches") == {("tracks",): 100}
    assert max(seen) <= 100


def test_exposes_the_age_of_a_due_batch_that_no_worker_takes(store: Store) -> None:
    run = store.run()
    assert exposed(store.database).get(("spotisync_queue_age_seconds",), 0) < 5
    store.sql("UPDATE sync_state SET updated_at = now() - interval '90 seconds'")
    store.set(run.id, started_at="now() - interval '1 hour'")
    assert 89 < exposed(store.database)["spotisync_queue_age_seconds",] < 100
    token = store.claim(store.get_run(run.id))
    assert ("spotisync_queue_age_seconds",) not in exposed(store.database)
    store.block("library", 600)
    with store.database.begin() as connection:
        assert token
        runs.release(connection, store.get_run(run.id), token, 600, park=True)
    found = exposed(store.database)
    assert ("spotisync_queue_age_seconds",) not in found
    assert found["spotisync_runs_unfinished", "full", "rate_limited"] == 1
    assert 590 < found["spotisync_blocked_seconds", "library"] <= 600
    store.sql("UPDATE rate_limits SET reason = 'manual'")
    assert ("spotisync_blocked_seconds", "library") not in exposed(store.database)


def test_exposes_no_age_of_a_disabled_account(store: Store) -> None:
    """It would raise alerts that nothing can end."""
    store.run()
    store.sql("UPDATE sync_history SET status = 'success', completed_at = now()")
    store.sql("INSERT INTO playback (account_id, read_at) SELECT id, now() FROM accounts")
    names = {"spotisync_last_success_timestamp_seconds", "spotisync_playback_read_timestamp_seconds"}
    assert {name for name, *_ in exposed(store.database)} >= names
    store.sql("UPDATE accounts SET status = 'disabled'")
    assert not {name for name, *_ in exposed(store.database)} & names


def test_exposes_the_oldest_ages_of_very_many_accounts(store: Store) -> None:
    store.sql("INSERT INTO accounts (spotify_user_id) SELECT 'account' || n FROM generate_series(1, 1002) n")
    store.sql(
        """INSERT INTO sync_history (account_id, sync_type, status, trigger, completed_at)
        SELECT id, t.name, 'success', 'cli', now() - make_interval(hours => CAST(id % 5 AS int) + t.hours)
        FROM accounts, (VALUES ('full', 200), ('incremental', 0)) t(name, hours)"""
    )
    newest = store.one("SELECT max(id) FROM accounts WHERE id % 5 = 0")
    store.sql("UPDATE sync_history SET completed_at = now() + interval '1 hour' WHERE account_id = :id", id=newest)
    times = [labels for name, *labels in exposed(store.database) if name == "spotisync_last_success_timestamp_seconds"]
    assert (len(times), len({account for account, _ in times})) == (2000, 1000), "both types of each"
    assert str(newest) not in {account for account, _ in times}


def test_counts_each_wait_of_one_event(store: Store) -> None:
    run = store.run()
    for seconds in (1.5, 2.0, 0.5):
        with store.database.begin() as connection:
            waits = Event("wait", "pace", phase="tracks", seq=0, family="library", seconds=seconds)
            events.add_event(connection, run.id, waits)
    assert store.one("SELECT count(*) FROM run_events WHERE kind = 'wait'") == 1
    assert total(store.database, "waits") == {("library", "pace"): 3}
    assert total(store.database, "wait_seconds") == {("library", "pace"): 4.0}


def test_counts_the_waits_of_a_run_from_its_events(context: Context, account: Account, simulator: Server) -> None:
    """Exactly the wait and parking events that a run recorded are counted."""
    simulator.control.add_fault(status=429, path="/v1/me/playlists", retry_after=1)
    driver.full_sync(context, account)
    with context.database.begin() as connection:
        written = connection.execute(
            text("SELECT sum(COALESCE(attempt, 1)) FROM run_events WHERE kind IN ('wait', 'parked') AND family <> ''")
        ).scalar_one()
        if not connection.execute(text("SELECT count(*) FROM run_events")).scalar_one():
            pytest.skip("no events are written yet")
    assert written > 0
    assert sum(total(context.database, "waits").values()) == written


def test_totals_include_runs_from_before_counting_began(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "0004")
    database = Database(empty_database_url)
    store = Store(database)
    store.account_id = store.account()
    store.sql(
        """INSERT INTO sync_history (account_id, sync_type, status, trigger, completed_at)
        VALUES (:account, 'full', 'failed', 'cli', now())""",
        account=store.account_id,
    )
    store.sql(
        """INSERT INTO sync_state (sync_id, state_key, entity_type, batches, items_added)
        SELECT id, 'tracks', 'tracks', 3, 7 FROM sync_history"""
    )
    database.close()  # its cached plans belong to the old tables
    migrate.upgrade(empty_database_url)
    database = Database(empty_database_url)
    found = {labels: value for labels, value in exposed(database).items() if labels[0].endswith("_total")}
    database.close()
    assert found == {
        ("spotisync_runs_started_total", "full", "cli"): 1,
        ("spotisync_runs_total", "full", "failed"): 1,
        ("spotisync_batches_total", "tracks"): 3,
        ("spotisync_items_total", "tracks", "added"): 7,
    }


def test_exposes_spent_calls_and_ceilings(store: Store) -> None:
    store.sql(
        "INSERT INTO call_ledger VALUES ('simulated', 'player', date_trunc('minute', now()), :id, 7)",
        id=store.account_id,
    )
    store.sql("INSERT INTO budgets VALUES ('simulated', 'playlists', 450, now())")
    found = exposed(store.database)
    assert found["spotisync_budget_spent", "player"] == 7
    assert found["spotisync_budget_ceiling", "library", "set"] == 300
    assert found["spotisync_budget_ceiling", "playlists", "learned"] == 450
    assert found["spotisync_budget_ceiling", "player", "assumed"] == 600
