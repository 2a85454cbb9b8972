"""Old rows are deleted in pieces that commit; what describes the present or the retained period is kept."""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from spotisync.simulator import Server
from spotisync.store import retention
from spotisync.sync import Context, housekeeping
from spotisync.sync.housekeeping import delete_old_rows
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import Store, analyzed
from tests.support.truth import expected


@pytest.fixture
def store(context: Context, account: Account) -> Store:
    made = Store(context.database)
    made.account_id = made.one("SELECT id FROM accounts WHERE spotify_user_id = :name", name=account.name)
    made.sql("DELETE FROM history_retention")
    return made


Keep = Callable[..., None]


@pytest.fixture
def keep(make_context: Callable[..., Context], simulator: Server) -> Keep:
    """Delete what is older than these periods, in one task."""

    def delete(days: int = 0, runs: int = 0) -> None:
        context = make_context(simulator, retention_days=days, run_retention_days=runs)
        assert not delete_old_rows(context)

    return delete


def library(store: Store, at: datetime) -> dict[str, datetime]:
    rows = store.sql("SELECT * FROM library_as_of(:id, :at)", id=store.account_id, at=at)
    return {row.track_id: row.added_at for row in rows}


def count_versions(store: Store, playlist: str, at: datetime) -> int:
    return int(store.one("SELECT count(*) FROM playlist_as_of(:id, :at)", id=playlist, at=at))


def run_ids(store: Store) -> list[int]:
    return [row.id for row in store.sql("SELECT id FROM sync_history ORDER BY id")]


def count(store: Store, table: str) -> int:
    return int(store.one(f"SELECT count(*) FROM {table}"))


AGED = (
    ("sync_history", "completed_at"), ("saved_spans", "from_at"), ("saved_spans", "to_at"), ("run_events", "at"),
    ("playlist_versions", "read_at"), ("playlist_spans", "from_at"), ("playlist_spans", "to_at"),
)  # fmt: skip


def age(store: Store, days: int) -> None:
    """Move everything that has happened so far into the past."""
    for table, column in AGED:
        store.sql(f"UPDATE {table} SET {column} = {column} - make_interval(days => :days)", days=days)


# ---- history --------------------------------------------------------------------------------------------------------


def test_keeps_the_rows_that_describe_the_present(
    keep: Keep, simulator: Server, context: Context, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    gone = simulator.world.edit("unlike", account.name)["track_id"]
    newest = driver.full_sync(context, account)["sync_id"]
    open_spans = store.one("SELECT count(*) FROM saved_spans WHERE to_at IS NULL")
    versions = count(store, "playlist_versions")
    age(store, 90)
    keep(days=30)
    assert run_ids(store) == [newest]
    assert store.sql("SELECT 1 FROM saved_spans WHERE track_id = :id", id=gone) == []
    assert count(store, "saved_spans") == open_spans
    assert count(store, "playlist_versions") == versions


def test_the_retained_period_is_complete_and_older_times_are_rejected(
    keep: Keep, simulator: Server, context: Context, account: Account, store: Store
) -> None:
    """Three runs, a month apart; the second one ended just before the horizon."""
    mine = simulator.world.edit("create_playlist", account.name)["playlist_id"]
    truths, runs = [], []
    for _ in range(3):
        runs.append(driver.full_sync(context, account)["sync_id"])
        truths.append(expected(simulator.world.truth(account.name))["saved_tracks"])
        age(store, 31)
        simulator.world.edit("unlike", account.name)
        simulator.world.edit("add_items", account.name, playlist=mine)
        simulator.world.clock_offset += 120
    keep(days=50)
    assert run_ids(store) == runs[1:]
    now = store.one("SELECT clock_timestamp()")
    assert library(store, now - timedelta(days=49)) == truths[1]
    assert library(store, now) == truths[2]
    assert count_versions(store, mine, now - timedelta(days=49)) < count_versions(store, mine, now)
    for query in ("library_as_of(1, :at)", "playlist_as_of('x', :at)"):
        with pytest.raises(DBAPIError, match="has been deleted"):
            store.sql(f"SELECT * FROM {query}", at=now - timedelta(days=51))


def test_keeps_the_version_valid_at_the_horizon(keep: Keep, store: Store) -> None:
    store.sql("INSERT INTO playlists (id, collaborative, snapshot_id) VALUES ('p', false, 's')")
    for days in (50, 40, 35, 20):
        store.sql(
            f"INSERT INTO playlist_versions VALUES ('p', now() - interval '{days} days', 's', NULL, '[[{days}, null]]')"
        )
    keep(days=30)
    ago = {days: store.one(f"SELECT now() - interval '{days} days'") for days in (15, 25, 29, 34)}
    found = [store.sql("SELECT position FROM playlist_as_of('p', :at)", at=ago[days]) for days in (15, 25, 29)]
    assert found == [[(20,)], [(35,)], [(35,)]]
    assert count(store, "playlist_versions") == 2
    with pytest.raises(DBAPIError, match="has been deleted"):
        store.sql("SELECT * FROM playlist_as_of('p', :at)", at=ago[34])


# ---- runs -----------------------------------------------------------------------------------------------------------


def add_runs(store: Store, *runs: dict[str, Any], days: int = 90) -> list[int]:
    """Finished runs, a second apart."""
    columns: dict[str, Any] = {"status": "success", "phase": "finish", "completed_at": "now()"}
    ids = [store.run("incremental", **columns | each).id for each in runs]
    store.sql("UPDATE sync_history SET completed_at = now() - make_interval(days => :days, secs => -id)", days=days)
    return ids


def test_keeps_a_run_while_a_caller_is_unanswered(keep: Keep, store: Store) -> None:
    answered, waits, _, newest = add_runs(store, {}, {}, {}, {})
    store.sql(
        """INSERT INTO waiters (task_id, sync_id, envelope, answered_at)
        VALUES ('answered', :answered, '{}', now()), ('waits', :waits, '{}', NULL)""",
        answered=answered,
        waits=waits,
    )
    keep(days=30)
    assert store.sql("SELECT task_id FROM waiters") == [("waits",)]
    assert run_ids(store) == [waits, newest]


def test_without_a_history_period_runs_that_changed_something_are_kept(keep: Keep, store: Store) -> None:
    """`library_as_of` answers from the last success before a time: here the success after a failure that changed."""
    first, same, failed, after, _, newest = add_runs(store, {}, {}, {"status": "failed"}, {}, {"status": "failed"}, {})
    store.sql(
        "UPDATE sync_history SET changes = '{\"added\": 1}' WHERE id IN (:first, :failed)", first=first, failed=failed
    )
    keep(runs=30)
    assert run_ids(store) == [first, failed, after, newest]
    assert same not in run_ids(store)


@pytest.mark.parametrize("seed", range(5))
def test_deleting_runs_does_not_change_the_library_of_any_time(seed: int, keep: Keep, store: Store) -> None:
    random = Random(seed)
    runs = add_runs(store, *({"status": random.choice(["success", "success", "failed"])} for _ in range(40)))
    for run in runs:
        if random.random() < 0.3:
            store.sql(
                """WITH run AS (
                    UPDATE sync_history SET changes = '{"added": 1}' WHERE id = :run RETURNING completed_at),
                new AS (INSERT INTO tracks (id, uri) VALUES (CAST(:run AS text), 'u') RETURNING id)
                INSERT INTO saved_spans (account_id, track_id, added_at, from_at)
                SELECT :account, new.id, completed_at, completed_at - interval '500 ms' FROM run, new""",
                run=run,
                account=store.account_id,
            )
    times = [row.at for row in store.sql("SELECT completed_at + interval '200 ms' AS at FROM sync_history")]
    before = [library(store, at) for at in times]
    keep(runs=30)
    assert len(run_ids(store)) < 40
    assert [library(store, at) for at in times] == before


def test_events_and_runs_are_kept_for_a_year_by_default(
    make_context: Callable[..., Context], simulator: Server, context: Context, account: Account, store: Store
) -> None:
    driver.full_sync(context, account)
    driver.incremental_sync(context, account)
    idle = driver.incremental_sync(context, account)["sync_id"]
    age(store, 364)
    kept = count(store, "run_events"), run_ids(store)
    delete_old_rows(context)
    assert (count(store, "run_events"), run_ids(store)) == kept
    driver.incremental_sync(context, account)
    events = store.one("SELECT count(*) FROM run_events WHERE at > now() - interval '1 day'")
    age(store, 2)
    delete_old_rows(make_context(simulator, run_retention_days=0))
    assert idle in run_ids(store)
    delete_old_rows(context)
    assert count(store, "run_events") == events
    assert idle not in run_ids(store)


# ---- the call ledger and callers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("regime", ["full", "restricted"])
def test_trims_the_records_of_calls_in_both_regimes(
    make_context: Callable[..., Context], regime: str, keep: Keep, simulator: Server, store: Store, account: Account
) -> None:
    simulator.control.settings(regime=regime)
    driver.full_sync(make_context(simulator), account)
    calls = count(store, "call_ledger")
    store.sql(
        """INSERT INTO reply_statuses (client_id, endpoint, day, status, replies)
        SELECT 'simulated', 'saved_tracks', current_date - n, 200, 1 FROM generate_series(40, 400) n"""
    )
    store.sql(
        """INSERT INTO call_ledger
        SELECT 'simulated', 'library', date_trunc('minute', now()) - make_interval(days => n), 1, 1
        FROM generate_series(10, 400) n"""
    )
    keep()
    assert count(store, "call_ledger") == calls
    assert store.one("SELECT min(day) > current_date - 32 FROM reply_statuses")


def test_deletes_callers_answered_long_ago(keep: Keep, store: Store) -> None:
    run = store.run("incremental", status="success", phase="finish", completed_at="now()")
    store.sql(
        """INSERT INTO waiters (task_id, sync_id, envelope, answered_at)
        SELECT 'w' || n, :run, '{}', now() - make_interval(days => n) FROM generate_series(1, 500) n""",
        run=run.id,
    )
    keep()
    assert count(store, "waiters") == 6


# ---- pieces ---------------------------------------------------------------------------------------------------------


def add_ended_spans(store: Store, rows: int) -> None:
    """Spans of a track that a run after them no longer knows."""
    add_runs(store, {}, {}, days=60)
    store.sql("INSERT INTO tracks (id, uri) VALUES ('t', 'u')")
    store.sql(
        """INSERT INTO saved_spans (account_id, track_id, added_at, from_at, to_at)
        SELECT :account, 't', now(), now() - interval '90 days', now() - interval '80 days'
        FROM generate_series(1, :rows) n""",
        account=store.account_id,
        rows=rows,
    )


def test_a_killed_task_loses_one_piece_and_the_next_one_continues(
    keep: Keep, context: Context, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_ended_spans(store, 3 * housekeeping.FIRST_ROWS)
    delete = retention.delete_saved_spans
    pieces = iter(range(3))

    def killed(connection: Connection, days: int, rows: int) -> int:
        deleted = delete(connection, days, rows)
        if next(pieces) == 1:
            raise SystemExit
        return deleted

    with monkeypatch.context() as patch:
        patch.setattr(retention, "delete_saved_spans", killed)
        with pytest.raises(SystemExit):
            keep(days=30)
    assert count(store, "saved_spans") == 2 * housekeeping.FIRST_ROWS
    keep(days=30)
    assert count(store, "saved_spans") == 0


def test_a_task_ends_after_a_while_and_says_that_more_is_left(
    make_context: Callable[..., Context], simulator: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_ended_spans(store, 3 * housekeeping.FIRST_ROWS)
    context = make_context(simulator, retention_days=30)
    monkeypatch.setattr(housekeeping, "TASK_SECONDS", 0.0)
    assert delete_old_rows(context)
    assert count(store, "saved_spans") == 2 * housekeeping.FIRST_ROWS
    monkeypatch.setattr(housekeeping, "TASK_SECONDS", 60.0)
    assert not delete_old_rows(context)
    assert count(store, "saved_spans") == 0


def test_slow_pieces_become_smaller(
    make_context: Callable[..., Context], simulator: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_ended_spans(store, 100)
    sizes: list[int] = []

    def slow(_: Connection, __: int, rows: int) -> int:
        sizes.append(rows)
        return rows if len(sizes) < 4 else 0

    monkeypatch.setattr(housekeeping, "PIECE_SECONDS", 0.0)
    monkeypatch.setattr(retention, "delete_saved_spans", slow)
    assert not delete_old_rows(make_context(simulator, retention_days=30))
    first = housekeeping.FIRST_ROWS
    assert sizes == [first, first // 2, first // 4, first // 8]


def test_one_process_at_a_time_deletes(keep: Keep, store: Store) -> None:
    add_ended_spans(store, 10)
    with store.database.begin() as other:
        assert retention.lock(other)
        began = monotonic()
        keep(days=30)
        assert monotonic() - began < 5
        assert other.execute(text("SELECT count(*) FROM saved_spans")).scalar_one() == 10
    keep(days=30)
    assert count(store, "saved_spans") == 0


def test_a_scheduled_task_does_nothing_while_messages_follow_each_other(
    make_context: Callable[..., Context], simulator: Server, store: Store
) -> None:
    store.sql("DELETE FROM heartbeats")
    context = make_context(simulator, retention_days=30)
    add_ended_spans(store, 10)
    assert not delete_old_rows(context, scheduled=True)
    assert count(store, "saved_spans") == 0
    store.sql("DELETE FROM tracks WHERE id = 't'")
    add_ended_spans(store, 10)
    assert not delete_old_rows(context, scheduled=True)
    assert count(store, "saved_spans") == 10
    store.sql("UPDATE heartbeats SET beat_at = now() - interval '2 minutes'")
    assert not delete_old_rows(context, scheduled=True)
    assert count(store, "saved_spans") == 0


def test_the_time_per_row_does_not_grow_with_the_number_of_runs(
    make_context: Callable[..., Context], simulator: Server, store: Store
) -> None:
    """Each row once read all runs of its account."""

    def measure(runs: int) -> float:
        store.sql(
            """INSERT INTO sync_history (account_id, sync_type, status, trigger, phase, started_at, completed_at)
            SELECT :account, 'incremental', 'success', 'beat', 'finish', now(), now() - make_interval(days => 40 + n)
            FROM generate_series(1, :runs) n""",
            account=store.account_id,
            runs=runs,
        )
        store.sql(
            """INSERT INTO saved_spans (account_id, track_id, added_at, from_at, to_at)
            SELECT :account, 't', now(), now() - interval '90 days', '2020-01-01' FROM generate_series(1, 4000) n""",
            account=store.account_id,
        )
        with analyzed(store.database, "sync_history", "saved_spans") as connection:
            began = monotonic()
            assert retention.delete_saved_spans(connection, 30, 4000) == 4000
            seconds = monotonic() - began
        store.sql("DELETE FROM saved_spans")
        return seconds

    store.sql("INSERT INTO tracks (id, uri) VALUES ('t', 'u')")
    measure(10)
    few = measure(10)
    assert measure(20_000) < 10 * few
