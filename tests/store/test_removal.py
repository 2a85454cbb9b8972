"""An account is switched off or removed while it is synced: the run ends, and no message in flight writes any more."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from spotisync.core.outcomes import Outcome, Stale
from spotisync.errors import Fatal, IllegalMove
from spotisync.simulator import Server
from spotisync.store.runs import Run
from spotisync.sync import Sync, enrol, lifecycle
from spotisync.sync.batch import run_batch
from spotisync.sync.lifecycle import Caller
from tests import drive
from tests.drive import Account
from tests.store.conftest import Store, until

OWN = (
    "saved_tracks",
    "account_playlists",
    "saved_albums",
    "followed_artists",
    "sync_history",
    "sync_state",
    "accounts",
)


@pytest.fixture
def store(sync: Sync) -> Store:
    """Without an account of its own."""
    return Store(sync.database)


def held(sync: Sync, simulator: Server, run: Run) -> Any:
    """A batch in flight: its request is held by Spotify until `release`."""
    simulator.control.add_fault(kind="hold", path="/v1/me/tracks")
    threads = ThreadPoolExecutor(1)
    future: Future[Outcome] = threads.submit(run_batch, sync, run.id, run.phase, run.seq)
    until(lambda: bool(simulator.control.held()), 30)

    def release() -> Outcome:
        simulator.control.release()
        with threads:
            return future.result(60)

    return release


@pytest.mark.parametrize("end", [enrol.remove, lambda sync, name: enrol.set_status(sync, name, "disabled")])
def test_a_batch_in_flight_writes_nothing(
    end: Callable[[Sync, str], Any], sync: Sync, simulator: Server, account: Account, store: Store
) -> None:
    release = held(sync, simulator, drive.start(sync, account))
    end(sync, account.name)
    assert isinstance(release(), Stale)
    assert store.sql("SELECT 1 FROM saved_tracks") == []
    assert store.sql("SELECT 1 FROM tracks") == []


def test_nothing_of_a_removed_account_is_left_but_who_has_to_be_told(
    sync: Sync, account: Account, store: Store
) -> None:
    drive.full_sync(sync, account)
    run = lifecycle.trigger(sync, account.name, "full", "task", caller=Caller("one", {"id": "one"})).run
    for _ in range(2):
        drive.step(sync, run)
    enrol.remove(sync, account.name)
    assert [table for table in OWN if store.sql(f"SELECT 1 FROM {table}")] == []
    waiter = lifecycle.waiter_to_tell(sync)
    assert waiter
    assert (waiter.task_id, waiter.status, waiter.last_error) == ("one", "cancelled", "the account was removed")
    lifecycle.told(sync, waiter)
    assert store.sql("SELECT 1 FROM waiters") == []
    # Messages that were on their way, in whatever order they come.
    for phase in ("tracks", "artists", "albums", "playlists"):
        assert isinstance(run_batch(sync, run.id, phase, 0), Stale)
    assert not lifecycle.finish(sync, run.id)
    assert lifecycle.due(sync) == []
    with pytest.raises(Fatal, match="no account"):
        lifecycle.trigger(sync, account.name, "full", "task")


def test_a_token_is_not_asked_for_when_its_account_is_gone(sync: Sync, account: Account, store: Store) -> None:
    """Between the claim and the first request."""
    run = drive.start(sync, account)
    plan = sync.gate.check

    def gone(*_: Any) -> None:
        sync.gate.check = plan  # type: ignore[method-assign]
        enrol.remove(sync, account.name)

    sync.gate.check = gone  # type: ignore[method-assign, assignment]
    assert isinstance(drive.step(sync, run), Stale)
    assert store.sql("SELECT 1 FROM saved_tracks") == []


def test_a_disabled_account_ends_its_run_and_goes_on_once_it_is_enabled(
    sync: Sync, account: Account, store: Store
) -> None:
    run = drive.start(sync, account)
    drive.step(sync, run)
    enrol.set_status(sync, account.name, "disabled")
    assert store.sql("SELECT status, last_error FROM sync_history") == [
        ("cancelled", enrol.disabled_words(account.name))
    ]
    with pytest.raises(Fatal, match="spotisync accounts enable"):
        lifecycle.resume(sync, run.id)
    with pytest.raises(Fatal, match="spotisync accounts enable"):
        lifecycle.trigger(sync, account.name, "full", "task")
    enrol.set_status(sync, account.name, "active")
    lifecycle.resume(sync, run.id)
    assert drive.run_to_end(sync, run)["status"] == "success"


def test_what_can_not_be_resumed_says_what_can_be_done(sync: Sync, account: Account) -> None:
    first, second = drive.start(sync, account), None
    lifecycle.cancel(sync, first.id)
    second = drive.start(sync, account)
    lifecycle.cancel(sync, second.id)
    with pytest.raises(IllegalMove, match="resume that one, or start another"):
        lifecycle.resume(sync, first.id)
    with pytest.raises(Fatal, match="spotisync history"):
        lifecycle.resume(sync, 999)


def test_removals_and_triggers_at_the_same_moment_leave_nobody_waiting(
    make_sync: Callable[..., Sync], sync: Sync, simulator: Server, account: Account, store: Store
) -> None:
    """Whichever comes first: a caller is refused in words, or told that the account went."""
    others = [make_sync(simulator) for _ in range(4)]

    def trigger(number: int) -> str | None:
        try:
            caller = Caller(str(number), {"id": str(number)})
            lifecycle.trigger(others[number % 4], account.name, "full", "task", caller=caller)
        except Fatal as error:
            return str(error)
        return None

    with ThreadPoolExecutor(5) as threads:
        triggers = [threads.submit(trigger, number) for number in range(8)]
        removal = threads.submit(enrol.remove, sync, account.name)
        refused = [each.result(30) for each in triggers]
        removal.result(30)
    assert all(words is None or "no account" in words for words in refused)
    assert store.one("SELECT count(*) FROM waiters WHERE ended = 'cancelled'") == refused.count(None)
    assert store.sql("SELECT 1 FROM sync_history") == []


def test_a_removal_that_meets_somebody_who_writes_for_the_account_is_done_all_the_same(
    sync: Sync, account: Account, store: Store
) -> None:
    """One has a row of the account and then needs the account's own, the other the other way round."""
    id_ = store.one("SELECT id FROM accounts")
    store.sql("INSERT INTO playback (account_id) VALUES (:id) ON CONFLICT DO NOTHING", id=id_)
    removing = Thread(target=enrol.remove, args=(sync, account.name))
    with suppress(OperationalError), store.database.begin() as connection:
        # Who looks for the deadlock is who is ended: this one does not, and on a slow machine gives up first.
        connection.execute(text("SET LOCAL deadlock_timeout = '1h'"))
        connection.execute(text("SET LOCAL lock_timeout = '3s'"))
        connection.execute(text("UPDATE playback SET last_error = 'x' WHERE account_id = :id"), {"id": id_})
        removing.start()
        until(lambda: bool(store.sql(WAITS_FOR_LOCK)), 20)
        connection.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR KEY SHARE"), {"id": id_})
    removing.join(20)
    assert store.sql("SELECT 1 FROM accounts") == []


WAITS_FOR_LOCK = """SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'DELETE FROM accounts%'"""
