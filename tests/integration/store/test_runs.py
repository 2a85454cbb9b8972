"""Fencing: who may claim a batch, which commit counts, what a sweep finds."""

from contextlib import ExitStack
from threading import Thread
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from spotisync.core.states import Status
from spotisync.errors import Unavailable
from spotisync.store import runs
from spotisync.store.database import Claimant, Database
from spotisync.store.runs import Counts, Run
from tests.support.store import CLIENT, GONE, Store
from tests.support.waiting import wait_until

PAST, FUTURE = "now() - interval '1 second'", "now() + interval '1 hour'"


# ---- claims ---------------------------------------------------------------------------------------------------------


def test_a_batch_is_claimed_once(store: Store) -> None:
    run = store.run()
    assert store.claim(run)
    assert store.claim(run) is None
    assert store.get_run(run.id).claimed


def test_one_of_many_concurrent_claims_gets_the_batch(store: Store) -> None:
    run, presence = store.run(), store.database.get_claimant()
    tokens: list[object] = []
    threads = [Thread(target=lambda: tokens.append(store.claim(run, presence))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([token for token in tokens if token]) == 1
    assert len(tokens) == 8


def test_only_the_due_batch_can_be_claimed(store: Store) -> None:
    run = store.run(phase="artists", seq=3)
    due = store.get_run(run.id)
    store.set(run.id, seq=4)
    assert store.claim(due) is None
    store.set(run.id, seq=3, phase="albums")
    assert store.claim(due) is None
    store.set(run.id, phase="artists")
    assert store.claim(due)


def test_a_claim_with_an_expired_lease_can_be_taken_over(store: Store) -> None:
    run = store.run()
    assert store.claim(run)
    store.set(run.id, wake_at=PAST)
    assert store.claim(run)


def test_a_claim_of_a_dead_worker_can_be_taken_over_at_once(store: Store) -> None:
    run = store.run()
    assert store.claim(run, GONE)
    assert store.claim(run)


def test_a_claimant_is_dead_when_its_database_session_has_ended(store: Store, database_url: str) -> None:
    worker = Database(database_url)
    run = store.run()
    assert store.claim(run, worker.get_claimant())
    assert store.claim(run) is None
    worker.close()
    wait_until(lambda: store.claim(run) is not None, "the claim of the ended session to be taken over")


def test_a_reused_process_id_is_not_the_claimant(store: Store) -> None:
    run = store.run()
    here = store.database.get_claimant()
    assert store.claim(run, Claimant(here.pid, GONE.started))
    assert store.claim(run, here)


@pytest.mark.parametrize("status", ["pending", "success", "failed", "cancelled"])
def test_an_inactive_run_has_no_batch(store: Store, status: Status) -> None:
    assert store.claim(store.run(status=status, wake_at=PAST)) is None


def test_a_parked_run_has_no_batch_before_its_time(store: Store) -> None:
    run = store.run(status="rate_limited", wake_at=FUTURE)
    assert store.claim(run) is None
    store.set(run.id, wake_at=PAST)
    assert store.claim(run)
    assert store.get_run(run.id).status == "in_progress"


def test_a_parked_run_has_no_batch_while_another_run_is_active(store: Store) -> None:
    parked = store.run("full", status="rate_limited", wake_at=PAST)
    store.run("incremental")
    assert store.claim(parked) is None


def test_attempts_count_claims_since_the_last_commit(store: Store) -> None:
    run = store.run()
    for attempt in (1, 2):
        assert store.claim(run, GONE)
        assert store.get_run(run.id).attempts == attempt
    token = store.claim(run, GONE)
    assert token
    assert store.advance(run, token)
    assert store.get_run(run.id).attempts == 0


def test_a_heartbeat_extends_only_the_lease_of_the_claimant(store: Store) -> None:
    run = store.run()
    token = store.claim(run, lease=1)
    assert token
    with store.database.begin() as connection:
        assert runs.renew(connection, run.id, token, 1000)
        assert not runs.renew(connection, run.id, uuid4(), 1000)
    assert store.one("SELECT wake_at > now() + interval '900 seconds' FROM sync_history")


def test_a_restarted_session_is_a_different_claimant(database: Database, store: Store) -> None:
    first = database.get_claimant()
    assert database.get_claimant() == first
    store.sql("SELECT pg_terminate_backend(:pid)", pid=first.pid)
    second = database.get_claimant()
    assert second != first


def back_off(store: Store, run: Run, seconds: float, *, park: bool = False) -> None:
    token = store.claim(run)
    assert token
    with store.database.begin() as connection:
        assert runs.release(connection, run, token, seconds, park=park) is not None


def test_a_duplicate_message_does_not_shorten_a_backoff(store: Store) -> None:
    run = store.run()
    back_off(store, run, 600)
    assert 590 < store.get_run(run.id).waits <= 600
    assert store.claim(run) is None
    assert store.take_due_runs() == []
    store.set(run.id, not_before=PAST)
    assert store.get_run(run.id).waits == 0
    assert store.claim(run)


@pytest.mark.parametrize("how", ["sweep", "resume", "park"])
def test_restarting_a_run_ends_its_backoff(store: Store, how: str) -> None:
    run = store.run()
    back_off(store, run, 600, park=how == "park")
    if how == "sweep":
        store.set(run.id, wake_at=PAST)
    elif how == "resume":
        store.set(run.id, status="failed")
        with store.database.begin() as connection:
            assert runs.reopen(connection, run.id)
    if how != "resume":
        assert store.take_due_runs() == [run.id]
    assert store.get_run(run.id).waits == 0
    assert store.claim(store.get_run(run.id))


def test_a_parked_run_has_no_batch_while_another_run_is_created(store: Store) -> None:
    parked = store.run("full", status="rate_limited", wake_at=PAST)
    tokens: list[object] = []
    with store.database.begin() as connection:
        runs.find(connection, store.account_id, "incremental", None)
        claiming = Thread(target=lambda: tokens.append(store.claim(parked)))
        claiming.start()
        store.wait_until_blocked_by(connection)
        runs.create(connection, store.account_id, "incremental", "cli", None, None)
    claiming.join()
    assert tokens == [None]
    assert store.get_run(parked.id).status == "rate_limited"


def test_a_trigger_during_the_claim_of_a_parked_run_makes_a_pending_one(store: Store) -> None:
    parked = store.run("full", status="rate_limited", wake_at=PAST)
    made: list[int] = []

    def trigger() -> None:
        with store.database.begin() as connection:
            runs.find(connection, store.account_id, "incremental", None)
            made.append(runs.create(connection, store.account_id, "incremental", "cli", None, None))

    triggering = Thread(target=trigger)
    presence = store.database.get_claimant()
    with store.database.begin() as connection:
        assert runs.claim(connection, parked, uuid4(), presence, 100)
        triggering.start()
        store.wait_until_blocked_by(connection)
    triggering.join()
    assert store.get_run(made[0]).status == "pending"


def test_the_presence_session_survives_the_idle_session_timeout(database_url: str, store: Store) -> None:
    impatient = Database(f"{database_url}&options=-c%20idle_session_timeout%3D1000")
    try:
        presence = impatient.get_claimant()
        with impatient.begin() as connection:
            (idle,) = connection.execute(text("SELECT pg_backend_pid()")).one()
        wait_until(
            lambda: not store.sql("SELECT 1 FROM pg_stat_activity WHERE pid = :pid", pid=idle),
            "the idle session to end",
        )
        assert store.sql("SELECT 1 FROM pg_stat_activity WHERE pid = :pid", pid=presence.pid)
        assert impatient.get_claimant() == presence
    finally:
        impatient.close()


# ---- commits --------------------------------------------------------------------------------------------------------


def test_rejects_the_commit_of_a_stale_claimant(store: Store) -> None:
    run = store.run()
    stale = store.claim(run, GONE)
    fresh = store.claim(run)
    assert stale
    assert fresh
    assert not store.advance(run, stale)
    with store.database.begin() as connection:
        assert not runs.lock_claim(connection, run.id, stale)
        assert runs.release(connection, run, stale, 1) is None
        assert not runs.end(connection, run.id, "failed", token=stale)
    assert store.advance(run, fresh, seq=1)
    assert (store.get_run(run.id).seq, store.get_run(run.id).claimed) == (1, False)


def test_a_commit_counts_once(store: Store) -> None:
    run = store.run()
    token = store.claim(run)
    assert token
    assert store.advance(run, token, seq=1)
    assert not store.advance(run, token, seq=2)
    assert store.get_run(run.id).seq == 1


def test_a_cancel_prevents_a_commit_in_flight(store: Store) -> None:
    run = store.run()
    token = store.claim(run)
    assert token
    with store.database.begin() as connection:
        assert runs.end(connection, run.id, "cancelled", error="cancelled")
    assert not store.advance(run, token)
    with store.database.begin() as connection:
        assert not runs.renew(connection, run.id, token, 10)
    assert store.get_run(run.id).status == "cancelled"


def test_a_cancel_during_a_commit_waits_and_then_takes_effect(store: Store) -> None:
    run = store.run()
    token = store.claim(run)
    assert token

    def cancel() -> None:
        with store.database.begin() as connection:
            assert runs.end(connection, run.id, "cancelled", error="cancelled")

    cancelling = Thread(target=cancel)
    with store.database.begin() as connection:
        assert runs.lock_claim(connection, run.id, token)
        cancelling.start()
        store.wait_until_blocked_by(connection)
        assert runs.advance(connection, run, token, "tracks", 1, "library")
    cancelling.join()
    assert (store.get_run(run.id).status, store.get_run(run.id).seq) == ("cancelled", 1)
    assert store.claim(store.get_run(run.id)) is None


def test_only_a_run_with_all_phases_done_can_succeed(store: Store) -> None:
    run = store.run()
    with store.database.begin() as connection:
        assert not runs.end(connection, run.id, "success")
    store.set(run.id, phase="finish")
    with store.database.begin() as connection:
        assert runs.end(connection, run.id, "success")
        assert not runs.end(connection, run.id, "cancelled")
    assert store.column(run, "completed_at") is not None


def test_counters_are_added_to_the_run_and_its_phase(store: Store) -> None:
    run = store.run()
    with store.database.begin() as connection:
        runs.add_counts(connection, run.id, "tracks", Counts(5, 3, 1, 1), 2)
        runs.add_counts(connection, run.id, "albums", Counts(1, 0, 0, 0), 1)
        runs.add_unsuccessful_calls(connection, run.id, 4)
    assert store.sql(
        "SELECT items_processed, items_added, items_updated, items_removed, api_calls FROM sync_history"
    ) == [(6, 3, 1, 1, 7)]
    assert store.one("SELECT items_processed FROM sync_state WHERE entity_type = 'tracks'") == 5


def test_percent_complete_needs_a_total_and_never_decreases(store: Store) -> None:
    run = store.run()
    shown = []
    for processed, total in ((10, None), (40, 100), (0, 500), (50, None), (0, 60)):
        with store.database.begin() as connection:
            runs.add_counts(connection, run.id, "tracks", Counts(processed), 0)
            runs.save_checkpoint(connection, run, cursor={}, offset=0, total=total, deferred=0, over=False)
        shown.append(store.one("SELECT percent_complete FROM sync_state WHERE entity_type = 'tracks'"))
    assert shown == [None, 50, 50, 50, 100]


def test_counts_failures_since_the_last_advance(store: Store) -> None:
    run = store.run()
    for wanted in (1, 2):
        token = store.claim(run)
        assert token
        with store.database.begin() as connection:
            assert runs.release(connection, run, token, 0, error="503") == wanted
    token = store.claim(run)
    assert token
    with store.database.begin() as connection:
        assert runs.release(connection, run, token, 5) == 2  # a wait is not a failure
    with store.database.begin() as connection:
        runs.save_checkpoint(connection, run, cursor={}, offset=0, total=None, deferred=0, over=False)
        assert runs.get_checkpoint(connection, run.id, "tracks").failures == 0


# ---- resume ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "can"), [("failed", True), ("cancelled", True), ("success", False)])
def test_a_failed_or_cancelled_run_resumes_from_its_checkpoints(store: Store, status: Status, can: bool) -> None:
    run = store.run(status=status, phase="albums", seq=4)
    with store.database.begin() as connection:
        assert runs.reopen(connection, run.id) is can
    found = store.get_run(run.id)
    assert (found.phase, found.seq) == ("albums", 4)
    assert found.status == ("in_progress" if can else status)
    assert (store.claim(found) is not None) is can


def test_only_the_newest_run_of_its_type_can_be_resumed(store: Store) -> None:
    old = store.run(status="failed")
    store.run("incremental", status="failed")
    with store.database.begin() as connection:
        assert runs.reopen(connection, old.id)
    store.set(old.id, status="failed")
    store.run(status="success")
    with store.database.begin() as connection:
        assert not runs.reopen(connection, old.id)


def test_a_resumed_run_is_pending_while_another_run_is_active(store: Store) -> None:
    run = store.run("full", status="failed")
    store.run("incremental")
    with store.database.begin() as connection:
        assert runs.reopen(connection, run.id)
    assert store.get_run(run.id).status == "pending"


def test_a_trigger_finds_the_unfinished_run_or_the_one_of_its_key(store: Store) -> None:
    old = store.run(status="success", idempotency_key="k")
    going = store.run()
    with store.database.begin() as connection:
        for key, found in ((None, going), ("new", going), ("k", old)):
            run = runs.find(connection, store.account_id, "full", key)
            assert run
            assert run.id == found.id
        assert runs.find(connection, store.account_id, "incremental", None) == going


@pytest.mark.parametrize("status", ["pending", "rate_limited", "success"])
def test_an_incremental_does_not_join_an_inactive_full_run(status: str, store: Store) -> None:
    store.run(status=status)
    with store.database.begin() as connection:
        assert runs.find(connection, store.account_id, "incremental", None) is None


# ---- sweep ----------------------------------------------------------------------------------------------------------


def test_a_batch_in_the_queue_or_claimed_is_not_due(store: Store) -> None:
    run = store.run()
    assert store.take_due_runs() == []
    store.claim(run)
    assert store.take_due_runs() == []


def test_an_overdue_run_is_due_once(store: Store) -> None:
    run = store.run(wake_at=PAST)
    assert store.take_due_runs() == [run.id]
    assert store.take_due_runs() == []


def copies_until(store: Store, run: Run, hours: float) -> int:
    """Let time pass from one copy of the run's message to the next; no worker takes any."""
    passed, copies = 0.0, 0
    while passed < hours * 3600:
        seconds = float(store.one("SELECT EXTRACT(epoch FROM wake_at - now()) FROM sync_history")) + 0.1
        past = f"- make_interval(secs => {seconds})"
        store.sql(f"UPDATE sync_history SET started_at = started_at {past}, wake_at = wake_at {past}")
        store.sql(f"UPDATE sync_state SET updated_at = updated_at {past}")
        assert store.take_due_runs() == [run.id]
        passed, copies = passed + seconds, copies + 1
    return copies


def test_without_a_worker_few_copies_of_a_message_fill_the_broker(store: Store) -> None:
    run = store.run()
    assert 4 <= copies_until(store, run, 0.05) <= 7  # every 30 s at first: a message may have been lost
    assert copies_until(store, run, 24) < 60


@pytest.mark.parametrize("then", ["advances", "dies"])
def test_a_claim_restarts_the_intervals_of_copies(then: str, store: Store) -> None:
    run = store.run()
    copies_until(store, run, 24)
    token = store.claim(store.get_run(run.id), GONE if then == "dies" else None)
    assert token
    if then == "advances":
        with store.database.begin() as connection:
            assert runs.release(connection, run, token, 0) is not None
        store.set(run.id, wake_at=PAST)
    assert store.take_due_runs() == [run.id]
    assert 4 <= copies_until(store, run, 0.05) <= 7


def test_a_run_of_a_dead_worker_is_due_and_claimable_at_once(store: Store) -> None:
    run = store.run()
    stale = store.claim(run, GONE)
    assert stale
    assert store.take_due_runs() == [run.id]
    assert not store.get_run(run.id).claimed
    assert not store.advance(run, stale)
    assert store.claim(run)


def test_a_batch_that_was_committed_but_not_published_is_due_at_once(store: Store) -> None:
    run = store.run()
    token = store.claim(run, GONE)
    assert token
    assert store.advance(run, token)
    assert store.take_due_runs() == [run.id]


@pytest.mark.parametrize("wake_at", [PAST, FUTURE])
@pytest.mark.parametrize(("blocked", "due"), [("albums", False), ("*", False), ("artists", True), (None, True)])
def test_a_parked_run_is_due_when_its_family_is_free_at_any_wake_time(
    store: Store, wake_at: str, blocked: str | None, due: bool
) -> None:
    run = store.run(status="rate_limited", family="albums", wake_at=wake_at)
    if blocked:
        store.block(blocked)
    assert store.take_due_runs() == ([run.id] if due else [])
    assert store.get_run(run.id).status == ("in_progress" if due else "rate_limited")
    store.sql("UPDATE rate_limits SET blocked_until = now()")
    assert store.take_due_runs() == ([] if due else [run.id])


def test_a_cooldown_of_another_app_parks_no_run(store: Store) -> None:
    run = store.run(status="rate_limited", family="albums")
    store.block("*")
    store.sql("UPDATE rate_limits SET client_id = 'another'")
    assert store.take_due_runs() == [run.id]


def test_a_pending_run_is_due_when_no_other_run_is_active(store: Store) -> None:
    going = store.run("full")
    pending = store.run("incremental")
    assert store.take_due_runs() == []
    with store.database.begin() as connection:
        runs.end(connection, going.id, "failed")
    assert store.take_due_runs() == [pending.id]
    assert store.get_run(pending.id).status == "in_progress"


def test_a_full_run_comes_before_an_incremental_one_at_a_time(store: Store) -> None:
    incremental = store.run("incremental", status="pending")
    full = store.run("full", status="pending")
    others = store.run("incremental", account_id=store.account("user02"), status="pending")
    assert sorted(store.take_due_runs()) == sorted([full.id, others.id])
    assert store.take_due_runs() == []
    store.set(full.id, status="success")
    assert store.take_due_runs() == [incremental.id]


def test_concurrent_sweeps_take_different_runs(store: Store) -> None:
    run = store.run(wake_at=PAST)
    with store.database.begin() as one, store.database.begin() as other:
        taken = runs.take_due(one, run.account_id, CLIENT)
        assert taken
        assert taken.id == run.id
        assert runs.take_due(other, run.account_id, CLIENT) is None


@pytest.mark.parametrize("parked", ["full", "incremental"])
def test_a_sweep_notices_a_run_that_started_after_it_looked(store: Store, parked: str) -> None:
    other = "incremental" if parked == "full" else "full"
    waiting = store.run(parked, status="rate_limited")
    with store.database.begin() as sweep:
        assert runs.list_accounts_due(sweep, CLIENT) == [store.account_id]
        store.run(other)
        assert runs.take_due(sweep, store.account_id, CLIENT) is None
    assert store.get_run(waiting.id).status == "rate_limited"


def test_a_busy_account_does_not_delay_another(store: Store) -> None:
    store.run(wake_at=PAST)
    others = store.run(account_id=store.account("user02"), wake_at=PAST)
    with store.database.begin() as connection:
        runs.find(connection, store.account_id, "incremental", None)
        assert store.take_due_runs() == [others.id]


def test_concurrent_sweeps_triggers_claims_and_ends_raise_no_error(store: Store) -> None:
    """Six threads start runs in every possible way: each gets a result and no database error."""
    presence, errors = store.database.get_claimant(), []
    runs_by_type = {kind: store.run(kind, status="rate_limited", wake_at=PAST) for kind in ("full", "incremental")}

    def begin(kind: str, number: int) -> None:
        run = store.get_run(runs_by_type[kind].id)
        with store.database.begin() as connection:
            if number % 4 == 0:
                runs.claim(connection, run, uuid4(), presence, 100)
            elif number % 4 == 1:
                runs.take_due(connection, store.account_id, CLIENT)
            elif number % 4 == 2:
                runs.lock_account(connection, store.account_id)
                runs.reopen(connection, run.id)
            elif run.status == "in_progress":
                status: Status = "rate_limited" if number % 8 == 3 else "failed"
                connection.execute(
                    text("UPDATE sync_history SET status = :status, claim = NULL, wake_at = now() WHERE id = :id"),
                    {"status": status, "id": run.id},
                )

    def work(kind: str, first: int) -> None:
        for number in range(first, first + 40):
            try:
                begin(kind, number)
            except Exception as error:  # noqa: BLE001 (reported below)
                errors.append(error)

    threads = [Thread(target=work, args=(kind, first)) for kind in runs_by_type for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_finished_run_is_never_due(store: Store) -> None:
    for status in ("success", "failed", "cancelled"):
        store.run(status=status, wake_at=PAST)
    assert store.take_due_runs() == []


def test_a_concurrent_sweep_and_trigger_do_not_deadlock(store: Store) -> None:
    pending = store.run("incremental", status="pending")
    swept: list[int] = []
    with store.database.begin() as connection:
        runs.find(connection, store.account_id, "full", None)
        sweeping = Thread(target=lambda: swept.extend(store.take_due_runs()))
        sweeping.start()
        runs.create(connection, store.account_id, "full", "cli", None, None)
        sweeping.join(0.5)
    sweeping.join()
    statuses = [status for (status,) in store.sql("SELECT status FROM sync_history ORDER BY status")]
    assert statuses == ["in_progress", "pending"]
    assert swept in ([], [pending.id])


def test_recording_calls_locks_the_run_before_its_events(store: Store) -> None:
    """A transaction locks the run before it writes an event; the opposite order would deadlock."""
    run = store.run()
    writing = Thread(target=_sent, args=(store, run.id))
    with store.database.begin() as connection:
        assert runs.get(connection, run.id, lock=True)
        writing.start()
        store.wait_until_blocked_by(connection)
        connection.execute(text("SELECT 1 FROM run_events FOR UPDATE NOWAIT"))
    writing.join()
    assert store.one("SELECT calls FROM run_events WHERE sync_id = :id", id=run.id) == 3


def _sent(store: Store, sync_id: int) -> None:
    with store.database.begin() as connection:
        runs.add_unsuccessful_calls(connection, sync_id, 3)


def test_an_exhausted_connection_pool_raises_unavailable(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is frozen: the next request gets no connection, and no statement fails."""
    monkeypatch.setattr(database._engine.pool, "_timeout", 0.05)
    with ExitStack() as all_of_them:
        for _ in range(10):
            all_of_them.enter_context(database.begin())
        with pytest.raises(Unavailable, match="no connection of this process became free"):
            all_of_them.enter_context(database.begin())


def test_a_process_frozen_in_a_transaction_loses_its_locks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.run()
    token = store.claim(run)
    assert token
    monkeypatch.setattr(runs, "MOST_IDLE_MS", 200)

    def freeze(frozen: Connection) -> None:
        assert runs.lock_claim(frozen, run.id, token)
        with store.database.begin() as other:  # waits until Postgres ends the frozen process's session
            runs.lock_account(other, run.account_id)
        runs.lock_claim(frozen, run.id, token)

    with pytest.raises(Unavailable), store.database.begin() as frozen:
        freeze(frozen)
